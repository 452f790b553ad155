// Puts the page together.

import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { find } from "./dom.js";
import { connectFiles } from "./files.js";
import { placeIcons } from "./icons.js";
import { Keys } from "./keys.js";
import { connectNotice, notify } from "./notice.js";
import { describe, describeUnkept } from "./problem.js";
import { Server } from "./server.js";
import { editSettings } from "./settings_dialog.js";
import { Sidebar } from "./sidebar.js";
import { announce } from "./status.js";
import { openStore } from "./store.js";
import { onTheme, switchTheme } from "./theme.js";
import { Transcript } from "./transcript.js";

function connectTheme() {
  find("#theme").addEventListener("click", switchTheme);
  onTheme((isDark) => find("#theme").setAttribute("aria-pressed", isDark));
}

/** The address names the open conversation, so that it is found again after a reload and by the way back. */
function connectAddress(chat) {
  const named = () => location.hash.slice(1);
  addEventListener("hashchange", () => named() !== chat.current.id && chat.open(named()));
  chat.addEventListener("list", () => {
    const { id, messages } = chat.current;
    const wanted = messages.length ? `#${id}` : "";
    if (location.hash !== wanted) history.pushState(null, "", wanted || location.pathname);
  });
  addEventListener("popstate", () => named() !== chat.current.id && chat.open(named()));
  chat.open(named());
}

function connectSettings(chat, server) {
  find("#settings").addEventListener("click", async () => {
    const settings = await editSettings(chat.current.settings, await server.defaults());
    if (settings) await chat.configure(settings);
  });
}

function announceAnswers(chat) {
  chat.addEventListener("conversation", () => chat.running && announce("The answer is being written."));
  chat.addEventListener("end", ({ detail }) => {
    if (!detail.problem) announce(detail.message.ending === "stopped" ? "Stopped." : "The answer is complete.");
  });
  chat.addEventListener("unkept", ({ detail }) => notify(describeUnkept(detail.what, detail.error)));
}

async function showModel(chat, server) {
  try {
    chat.modelName = await server.modelName();
    find("#model").textContent = chat.modelName;
    notify("");
    chat.seesPictures = await server.seesPictures();
    document.body.classList.toggle("sees-pictures", chat.seesPictures);
  } catch (error) {
    notify(describe(error));
  }
}

async function start() {
  placeIcons();
  connectTheme();
  connectNotice();
  const server = new Server(new Keys());
  const store = await openStore((id) => chat.reload(id));
  const chat = new Chat(server, store, await store.all());
  new Transcript(chat);
  const composer = new Composer(chat);
  new Sidebar(chat);
  connectFiles(chat);
  connectSettings(chat, server);
  announceAnswers(chat);
  connectAddress(chat);
  composer.focus();
  chat.addEventListener("end", ({ detail }) => !detail.problem && !chat.modelName && showModel(chat, server));
  await showModel(chat, server);
  if (!store.isLasting) notify("This browser keeps nothing: conversations are lost when the page is left.");
}

await start();
