// Server-sent events.

/** The data of each event of a response's body; comments and other fields are left out. */
export async function* eventData(body) {
  let lines = [];
  for await (const line of linesOf(body)) {
    if (line.startsWith("data:")) {
      lines.push(line.slice(line[5] === " " ? 6 : 5));
    } else if (line === "" && lines.length) {
      yield lines.join("\n");
      lines = [];
    }
  }
}

/** The finished lines of a stream of bytes. */
async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (let part; !(part = await reader.read()).done; ) {
      const lines = (rest + part.value).split("\n");
      rest = lines.pop();
      for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
    }
  } finally {
    // Told to the server as a client that leaves, if there was more to come.
    await reader.cancel().catch(() => {});
  }
}
