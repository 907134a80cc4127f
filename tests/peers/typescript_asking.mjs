// What both TypeScript clients are asked and answer, in the words of `asking.py`.

const MODULES = new URL("../../.cache/npm/node_modules/", import.meta.url);

/** A module of an installed package; a bare name would be looked for beside this file. */
export const imported = (path) => import(new URL(path, MODULES));

/** The command line: where the server is, and the calls to make. */
export function read() {
  const [target, ...words] = process.argv.slice(2);
  const argv = target.startsWith("[") ? JSON.parse(target) : [];
  const calls = [];
  for (let at = 0; at < words.length; at += 2) {
    calls.push({ name: words[at], arguments: JSON.parse(words[at + 1]) });
  }
  return { url: argv.length ? undefined : new URL(target), argv, calls };
}

/** List, make the calls one after the other, print; an exception is an outcome too. */
export async function answer(client, revision, calls) {
  const { tools } = await client.listTools();
  const outcomes = [];
  for (const call of calls) {
    outcomes.push(await outcome(client, call));
  }
  const names = tools.map((tool) => tool.name);
  console.log(JSON.stringify({ revision, tools: names, calls: outcomes }));
}

async function outcome(client, call) {
  try {
    const result = await client.callTool(call);
    const texts = result.content.filter((block) => block.type === "text");
    return {
      is_error: result.isError === true,
      text: texts.map((block) => block.text).join("\n"),
      meta: result._meta ?? {},
    };
  } catch (error) {
    return { is_error: true, text: error.message, meta: {}, raised: error.name };
  }
}
