// What went wrong, in words for the person at the page.

/** An error whose message is meant for people. */
export class Problem extends Error {}

const BEGINNINGS = {
  400: "The server cannot answer this",
  401: "The server needs a valid API key",
  403: "The server does not allow this",
  404: "The server has no such endpoint",
  413: "The message is too large for the server",
  500: "The server has failed",
  501: "The server cannot do this",
  503: "The server is busy",
};

/** The problem that an answer with an error's status tells of. */
export async function problemOf(response) {
  let told = "";
  try {
    told = (await response.json()).error.message;
  } catch {
    // A proxy between may answer with a page of its own; the status must do.
  }
  return toldProblem(response.status, told);
}

/** A problem from a status and what the server said about it. */
export function toldProblem(status, told) {
  const beginning = BEGINNINGS[status] ?? `The server answered with status ${status}`;
  return new Problem(told ? `${beginning}: ${told}` : `${beginning}.`);
}

/** That the browser did not keep something, and why. */
export function describeUnkept(what, { name, message }) {
  const isFull = name === "QuotaExceededError";
  const reason = isFull ? "its storage is full. Delete conversations that are no longer needed." : message;
  return `The browser keeps ${what} only until the page is left: ${reason}`;
}

/** Any error in words. */
export function describe(error) {
  if (error instanceof Problem) return error.message;
  // What fetch and its streams throw when there is no connection.
  if (error instanceof TypeError || error.name === "NetworkError") {
    return "The server cannot be reached. Is it still running?";
  }
  return `Something unexpected happened in the page: ${error.message}`;
}
