// OpenAI's Agents SDK for JavaScript as a client of either dialect. Reads JSON from stdin: `base`,
// `model`, `dialect`, `streaming` and `prompt`; writes the result to stdout.

import { text } from "node:stream/consumers";
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  run,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true); // traces go to OpenAI
const input = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL: input.base, apiKey: "sk-invented", maxRetries: 0, timeout: 20_000 });
const Model = input.dialect === "chat" ? OpenAIChatCompletionsModel : OpenAIResponsesModel;
const weather = tool({
  name: "weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});
const agent = new Agent({
  name: "Weather",
  instructions: "Be brief.",
  model: new Model(client, input.model),
  tools: [weather],
});

const result = await run(agent, input.prompt, { stream: input.streaming });
const deltas = [];
if (input.streaming) {
  for await (const delta of result.toTextStream()) deltas.push(delta);
  await result.completed;
}
console.log(JSON.stringify({ output: result.finalOutput, deltas }));
