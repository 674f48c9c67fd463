// The official SDK for Node as a Chat client. Reads JSON from stdin: `base`, `model`, the `name` of a
// function below, and its fields; writes the result to stdout.

import { text } from "node:stream/consumers";
import OpenAI from "openai";

const input = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL: input.base, apiKey: "sk-invented", maxRetries: 0, timeout: 20_000 });
const requestWith = (fields) => ({
  model: input.model,
  messages: [{ role: "user", content: input.prompt ?? "Hello." }],
  ...input.fields,
  ...fields,
});
const completions = client.chat.completions;

const weather = {
  type: "function",
  function: {
    name: "weather",
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};

const cases = {
  create: () => completions.create(requestWith()),

  async stream() {
    const chunks = [];
    const options = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await completions.create(requestWith(options))) chunks.push(chunk);
    return chunks;
  },

  async helper() {
    const deltas = [];
    const stream = completions.stream(requestWith()).on("content", (delta) => deltas.push(delta));
    return { deltas, final: await stream.finalChatCompletion() };
  },

  // Runs calls until the model makes none; sends back the usual fields of each message, or all.
  async loop() {
    const messages = requestWith().messages;
    for (let turn = 0; turn < 5; turn++) {
      const fields = { messages, tools: [weather] };
      const answer = input.streaming
        ? await completions.stream(requestWith(fields)).finalChatCompletion()
        : await completions.create(requestWith(fields));
      const { message, finish_reason } = answer.choices[0];
      const { role, content, tool_calls } = message;
      messages.push(input.whole ? message : { role, content, ...(tool_calls && { tool_calls }) });
      if (!tool_calls?.length) return { content, finish_reason, turns: turn + 1 };
      for (const call of tool_calls) {
        const { city } = JSON.parse(call.function.arguments);
        messages.push({ role: "tool", tool_call_id: call.id, content: `rain in ${city}` });
      }
    }
  },

  // The SDK runs the tools itself.
  async runner() {
    const tool = {
      type: "function",
      function: { ...weather.function, parse: JSON.parse, function: ({ city }) => `rain in ${city}` },
    };
    const fields = requestWith({ tools: [tool] });
    const runner = completions.runTools({ ...fields, stream: input.streaming });
    return { content: await runner.finalContent() };
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, one: await client.models.retrieve(ids[0]) };
  },
};

try {
  console.log(JSON.stringify({ result: await cases[input.name]() }));
} catch (error) {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  const { status, code, type, param, message } = error;
  const name = error.constructor.name;
  const body = error.error;
  console.log(JSON.stringify({ error: { name, status, code, type, param, message, body } }));
}
