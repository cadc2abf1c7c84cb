// The decisions of the state machine, by the reference implementation of JSONata: the emulator has another one.
// Reads {machine, cases: [{cause, error, tries, result}]} from standard input; writes, per case, the variables, the
// state that TryAgain? goes to, the container's command, the seconds to wait, the message, and the cause of the failure.
const jsonata = require(process.argv[2]);

async function evaluate(text, variables, name, input = {}) {
  const read = jsonata(text.slice(2, -2).trim());
  read.registerFunction("parse", (given) => JSON.parse(given));
  const context = { Execution: { Name: name, Id: `arn:${name}`, Input: input } };
  const value = await read.evaluate(undefined, { ...variables, states: { context } });
  if (value === undefined) throw new Error(`no value: ${text}`);
  return value;
}

async function assign(state, variables, name) {
  const made = {};
  for (const [key, text] of Object.entries(state.Assign)) made[key] = await evaluate(text, variables, name);
  return { ...variables, ...made };
}

async function decide(states, { name, result, input, ...given }) {
  const known = await assign(states.WhatHappened, given, name);
  let next = states["TryAgain?"].Default;
  for (const choice of states["TryAgain?"].Choices) {
    const met = await evaluate(choice.Condition, known, name);
    if (typeof met !== "boolean") throw new Error(`no boolean: ${choice.Condition}`);
    if (met) { next = choice.Next; break; }
  }
  const said = await assign(states.WhatToSay, { ...known, result }, name);
  const [container] = states.Build.Arguments.Overrides.ContainerOverrides;
  return {
    command: await evaluate(container.Command, {}, name, input),
    next,
    said,
    seconds: await evaluate(states.WaitALittle.Seconds, known, name),
    subject: await evaluate(states.Alert.Arguments.Subject, said, name),
    message: await evaluate(states.Alert.Arguments.Message, said, name),
  };
}

let input = "";
process.stdin.on("data", (chunk) => { input += chunk; });
process.stdin.on("end", async () => {
  const { machine, cases } = JSON.parse(input);
  const found = [];
  for (const one of cases) found.push(await decide(machine.States, one));
  process.stdout.write(JSON.stringify(found));
});
