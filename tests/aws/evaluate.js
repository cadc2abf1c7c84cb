// Evaluates the expressions of the state machine with the reference implementation of JSONata. The emulator uses another
// implementation. Reads {machine, cases: [{name, cause, error, tries, result, input}]} from standard input. Writes, per
// case, the container's command, the state after ChooseRetry, the variables, the seconds to wait, and the alert.
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
  const known = await assign(states.ReadCause, given, name);
  let next = states["ChooseRetry"].Default;
  for (const choice of states["ChooseRetry"].Choices) {
    const met = await evaluate(choice.Condition, known, name);
    if (typeof met !== "boolean") throw new Error(`no boolean: ${choice.Condition}`);
    if (met) { next = choice.Next; break; }
  }
  const variables = await assign(states.WriteSummary, { ...known, result }, name);
  const [container] = states.Build.Arguments.Overrides.ContainerOverrides;
  return {
    command: await evaluate(container.Command, {}, name, input),
    next,
    variables,
    seconds: await evaluate(states.WaitBeforeRetry.Seconds, known, name),
    subject: await evaluate(states.Alert.Arguments.Subject, variables, name),
    message: await evaluate(states.Alert.Arguments.Message, variables, name),
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
