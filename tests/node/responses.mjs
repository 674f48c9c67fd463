// The official SDK for Node as a client of the Responses API. Reads JSON from stdin: `base` and
// `model`; writes the types of the events and the text of `responses.stream()` to stdout.

import { text } from "node:stream/consumers";
import OpenAI from "openai";

const input = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL: input.base, apiKey: "sk-invented", maxRetries: 0, timeout: 20_000 });
const stream = client.responses.stream({ model: input.model, input: "Hello." });
const types = [];
for await (const event of stream) types.push(event.type);
const response = await stream.finalResponse();
console.log(JSON.stringify({ types, text: response.output_text }));
