#!/usr/bin/env bash
# moto 5.2.5: the emulated S3 stores an object whose checksum is wrong and returns success.
#
# Expected: Amazon S3 documents that it computes the checksum of an upload and rejects the request with BadDigest if it
# differs from the given one. An emulator that accepts the headers Content-MD5 and x-amz-checksum-sha256 should do so,
# or refuse headers that it does not check.
# What happens: put_object with the checksum of other bytes succeeds, for SHA-256 and for MD5, and get_object returns
# the bytes. The checksum is not compared and not kept: head_object with ChecksumMode=ENABLED returns none.
# Why it matters: a test of "a damaged upload to the lake is refused" passes on moto because of a defect in the test, or
# fails although the code is right. Code that computes its checksum over the wrong bytes is found on AWS first.
# This product tests its uploads against another emulator, MiniStack, which verifies both checksums.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for python in python3.12 python3.11 python3; do
    "$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
"$python" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'moto[s3]==5.2.5' boto3==1.44.5

export AWS_ACCESS_KEY_ID=unused AWS_SECRET_ACCESS_KEY=unused AWS_DEFAULT_REGION=us-east-1

venv/bin/python - <<'PYTHON'
import base64
import hashlib
import sys

import boto3
import moto


def digest(algorithm, content):
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


sent, other = b"1,1.50,EUR\n", b"1,9.99,EUR\n"
with moto.mock_aws():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="lake")
    answers = [
        s3.put_object(Bucket="lake", Key="sha256.csv", Body=sent, ChecksumSHA256=digest("sha256", other)),
        s3.put_object(Bucket="lake", Key="md5.csv", Body=sent, ContentMD5=digest("md5", other)),
    ]
    statuses = [answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers]
    stored = [s3.get_object(Bucket="lake", Key=key)["Body"].read() for key in ("sha256.csv", "md5.csv")]
    claimed = s3.head_object(Bucket="lake", Key="sha256.csv", ChecksumMode="ENABLED").get("ChecksumSHA256")

print(f"moto {moto.__version__}, boto3 {boto3.__version__}")
print("Objects that were sent with the SHA-256 and with the MD5 of other bytes are stored:")
print(f"    HTTP status: {statuses}")
print(f"    stored bytes: {stored}")
print(f"    checksum of the first object as moto reports it: {claimed}")

if statuses != [200, 200] or stored != [sent, sent]:
    sys.exit("The behaviour has changed: expected both objects to be stored.")
if claimed is not None:
    sys.exit("The behaviour has changed: moto now keeps the checksum of an object.")
PYTHON
