// Vercel's AI SDK as a client of either dialect. Reads JSON from stdin: `base`, `model`, `dialect`, the
// `name` of a function below, and its fields; writes the result to stdout.

import { text } from "node:stream/consumers";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const input = JSON.parse(await text(process.stdin));
const openai = createOpenAI({ baseURL: input.base, apiKey: "sk-invented" });
const settings = {
  model: input.dialect === "chat" ? openai.chat(input.model) : openai(input.model),
  maxRetries: 0,
  abortSignal: AbortSignal.timeout(20_000),
  ...(input.options && { providerOptions: { openai: input.options } }),
};
const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});
const loopSettings = { ...settings, tools: { weather }, stopWhen: isStepCount(5) };

const cases = {
  async answer() {
    const { text, reasoningText, usage } = await generateText({ ...settings, prompt: input.prompt });
    return { text, reasoning: reasoningText, inputTokens: usage.inputTokens };
  },

  async stream() {
    const failures = [];
    const onError = ({ error }) => failures.push(error);
    const { textStream } = streamText({ ...settings, prompt: input.prompt, onError });
    const deltas = [];
    for await (const delta of textStream) deltas.push(delta);
    if (failures.length) throw failures[0];
    return deltas;
  },

  async loop() {
    const { text, steps } = await generateText({ ...loopSettings, prompt: input.prompt });
    return { text, steps: steps.length };
  },

  async streamedLoop() {
    const result = streamText({ ...loopSettings, prompt: input.prompt, onError() {} });
    return { text: await result.text, steps: (await result.steps).length };
  },

  // Each turn sends the messages of the earlier ones back.
  async conversation() {
    const messages = [];
    const answers = [];
    for (const prompt of input.prompts) {
      messages.push({ role: "user", content: prompt });
      const result = await generateText({ ...loopSettings, messages });
      messages.push(...result.responseMessages);
      answers.push(result.text);
    }
    return answers;
  },

  async object() {
    const output = Output.object({ schema: z.object({ total: z.number().int() }) });
    return (await generateText({ ...settings, output, prompt: input.prompt })).output;
  },
};

try {
  console.log(JSON.stringify({ result: await cases[input.name]() }));
} catch (error) {
  if (!APICallError.isInstance(error)) throw error;
  const { statusCode: status, message, responseBody: body } = error;
  console.log(JSON.stringify({ error: { status, message, body } }));
}
