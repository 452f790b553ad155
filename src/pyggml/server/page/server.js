// The server that the page comes from.

import { eventData } from "./event_stream.js";
import { Problem, problemOf, toldProblem } from "./problem.js";

/** Asks the server; `keys` gives the API key, see keys.js. */
export class Server {
  #keys;

  constructor(keys) {
    this.#keys = keys;
  }

  /** The model's name. */
  async modelName() {
    const { data } = await this.#json("v1/models");
    return data[0].id;
  }

  /** What the server does if a request does not say, by the names of settings.js; {} if the server does not tell. */
  async defaults() {
    return (await this.#properties()).default_generation_settings?.params ?? {};
  }

  /** Whether the model sees pictures. */
  async seesPictures() {
    return (await this.#properties()).modalities?.vision === true;
  }

  /** The parts of an answer as they come: {text, ending, timings}; `ending` is "stop", "length" or, before it, null. */
  async *chat(body, signal) {
    const response = await this.#ask("v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
    for await (const data of eventData(response.body)) {
      if (data === "[DONE]") return;
      const { error, choices, timings } = JSON.parse(data);
      if (error) throw toldProblem(error.code, error.message);
      const choice = choices?.[0];
      const ending = choice?.finish_reason && (choice.finish_reason === "length" ? "length" : "stop");
      yield { text: choice?.delta?.content ?? "", ending: ending ?? null, timings: timings ?? null };
    }
    throw new Problem("The connection ended before the answer did.");
  }

  /** How the server was started; {} if it does not tell. */
  async #properties() {
    try {
      return await this.#json("props");
    } catch {
      return {};
    }
  }

  async #json(path) {
    return (await this.#ask(path, {})).json();
  }

  /** A good answer; asks for a key for as long as the server does. */
  async #ask(path, options) {
    for (;;) {
      const key = this.#keys.current();
      const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
      const response = await fetch(new URL(path, document.baseURI), { ...options, headers });
      if (response.ok) return response;
      if (response.status !== 401 || !(await this.#keys.ask(key))) throw await problemOf(response);
    }
  }
}
