#!/usr/bin/env bash
# cfn-lint 1.58.0: a state machine whose Next names a state that does not exist passes without a message.
#
# Expected: cfn-lint's rule E3601 validates the definition of an AWS::StepFunctions::StateMachine. It reports a StartAt
# that names no state as "Missing 'Next' target", so a Next that names no state should be reported as well. The Amazon
# States Language requires that Next is the name of a state, and Step Functions refuses such a definition.
# What happens: the same typing error is found in StartAt and not in Next, and exit code and output are those of a
# valid template.
# Why it matters: the rule's name and its message promise the check. The error appears when the stack is deployed, and
# CloudFormation rolls the whole update back.
# This product checks the definition with asl-validator in addition.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check cfn-lint==1.58.0

template() {
    cat <<JSON
{"Resources": {
  "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]}}},
  "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
    "Definition": {"StartAt": "$1", "States": {"Build": {"Type": "Pass", "Next": "$2"},
                                               "Publish": {"Type": "Succeed"}}}}}}}
JSON
}
lint() {
    template "$1" "$2" >template.json
    local exit_code=0
    venv/bin/cfn-lint template.json >lint.log || exit_code=$?
    echo "exit code $exit_code $(grep --max-count=1 '^[EW][0-9]' lint.log || true)"
}

valid=$(lint Build Publish)
start=$(lint Bulid Publish)
next=$(lint Build Publihs)
venv/bin/cfn-lint --version
echo "A state machine has the states Build and Publish. cfn-lint finds a wrong name in StartAt, but not in Next:"
echo "    StartAt Build, Next Publish: $valid"
echo "    StartAt Bulid, Next Publish: $start"
echo "    StartAt Build, Next Publihs: $next"

if [[ "$valid" != "exit code 0 " || "$start" != "exit code 2 E3601 Missing 'Next' target 'Bulid'"* ]]; then
    echo "The behaviour has changed: expected E3601 for the wrong StartAt alone." >&2
    exit 1
fi
if [[ "$next" != "$valid" ]]; then
    echo "The behaviour has changed: the wrong Next is reported." >&2
    exit 1
fi
