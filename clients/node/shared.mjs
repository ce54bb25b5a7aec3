// What the Node tests share; see ../python/conftest.py for the meaning of the environment.
import OpenAI from "openai";

export const DIRECT = process.env.CLIENTS_DIRECT === "1";
export const SCRIPTED = process.env.SCRIPTED_URL;
export const URL = DIRECT ? SCRIPTED : process.env.FINGERPOST_URL;
export const MODELS = DIRECT ? ["gpt-scripted"] : ["gpt-scripted", "claude-scripted"];
export const BREAKS = ["reset", "eof", "clean_eof", "error_event"];
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string", examples: ["Bern"] }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
export const TOOLS = [{ type: "function", function: { name: "get_weather", description: "Weather", parameters: WEATHER } }];

export const client = new OpenAI({
  baseURL: `${URL}/v1`,
  apiKey: DIRECT ? process.env.SCRIPTED_KEY : "the-clients-own-key",
  maxRetries: 0,
  timeout: 60_000,
});

export const script = (behaviour) => `[[script:${JSON.stringify(behaviour)}]]`;
export const faulty = (model) => model.replace("scripted", "faulty");
export const brokenStream = (how) => script({ chunks: 40, fault: { at: { events: 5 }, how } });
export const user = (content) => [{ role: "user", content }];

export async function counters() {
  return (await fetch(`${SCRIPTED}/_scripted/counters`)).json();
}

export async function last() {
  return (await (await fetch(`${SCRIPTED}/_scripted/requests`)).json()).at(-1).body;
}

// Waits until one more answer was cancelled than in the counters `before`.
export async function waitForCancel(before) {
  for (const end = Date.now() + 20_000; Date.now() < end; ) {
    if ((await counters()).cancelled > before.cancelled) return true;
    await new Promise((done) => setTimeout(done, 20));
  }
  return false;
}
