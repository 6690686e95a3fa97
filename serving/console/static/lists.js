// The page: calls the public API and shows the answers in words. No library, no build step.
"use strict";

const $ = (id) => document.getElementById(id);
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
let labels = {};  // labels of the candidate sources by name, from /api/releases
const chosen = { owner: null, item: null };  // {id, name}
let turn = 0;  // answers to an earlier request are dropped

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function ask(path) {
  const key = sessionStorage.getItem("matchbook-key");
  const answer = await fetch(path, { headers: key ? { "X-API-Key": key } : {} });
  const body = await answer.json().catch(() => null);
  if (answer.ok) return body;
  const error = body && body.error;
  throw new Refused(answer.status, error ? `Expected ${error.expected}; got ${error.got}. ${error.hint}` :
    `The reader answered ${answer.status}.`);
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function trouble(error) {
  $("trouble").hidden = !error;
  $("trouble").textContent = error ? error.message : "";
  $("key-form").hidden = !(error && (error.status === 401 || error.status === 403));
}

const surface = () => $("surface").value;
const when = (iso) => iso.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)$/, " UTC");
const named = (names, id) => (names && names[id]) || "";

function who(name, id) {
  const cell = element("td");
  if (name) cell.append(element("span", name, { class: "name" }));
  cell.append(element("span", id, { class: "id" }));
  return cell;
}

// ---- finding people and startups by name

function finder(input, list, side, remember) {
  let found = [], at = -1, waiting = 0;
  const close = () => { list.hidden = true; input.setAttribute("aria-expanded", "false"); at = -1; };
  const take = (one) => { remember(one); input.value = one.name || one.id; close(); };
  const mark = (next) => {
    const options = [...list.children];
    if (!options.length) return;
    at = (next + options.length) % options.length;
    options.forEach((o, i) => o.setAttribute("aria-selected", String(i === at)));
    input.setAttribute("aria-activedescendant", options[at].id);
    options[at].scrollIntoView({ block: "nearest" });
  };
  const look = async () => {
    const word = input.value.trim();
    if (word.length < 2 || UUID.test(word)) return close();
    try {
      found = (await ask(`/api/find/${surface()}/${side}?q=${encodeURIComponent(word)}`)).found;
      if (word !== input.value.trim()) return;
      trouble(null);
    } catch (error) { close(); return trouble(error); }
    list.replaceChildren(...found.map((one, i) => {
      const option = element("li", one.name || "(no name)", { role: "option", id: `${list.id}-${i}`, "aria-selected": "false" });
      option.append(element("small", [one.role, one.id.slice(0, 8)].filter(Boolean).join(" · ")));
      option.addEventListener("mousedown", (event) => { event.preventDefault(); take(one); });
      return option;
    }));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    if (found.length) mark(0);
  };
  input.addEventListener("input", () => {
    const word = input.value.trim();
    remember(UUID.test(word) ? { id: word.toLowerCase(), name: "" } : null);  // without a delay: Enter may follow at once
    clearTimeout(waiting);
    waiting = setTimeout(look, 150);
  });
  input.addEventListener("blur", close);
  input.form.addEventListener("submit", () => { clearTimeout(waiting); close(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); mark(at + 1); }
    if (event.key === "ArrowUp") { event.preventDefault(); mark(at - 1); }
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !list.hidden && at >= 0) { event.preventDefault(); take(found[at]); }
  });
}

// ---- the list

function facts(answer) {
  const pairs = [["method", answer.method_used], ["route", answer.route], ["interactions", answer.interaction_count],
    ["ranker", answer.ranker || (answer.reranked ? "not named" : "none")], ["from", answer.source === "live" ? "computed live" : "the release"],
    ["made", when(answer.generated_at)], ["models", answer.model_version || "none"]];
  if (answer.experiment) pairs.push(["experiment", `${answer.experiment}: ${answer.arm}`]);
  if (!answer.known) pairs.push(["known", "no: an unknown id gets the popular list"]);
  if (answer.stale) pairs.push(["stale", "yes"]);
  if (answer.degraded) pairs.push(["degraded", "yes: a service is down"]);
  $("facts").replaceChildren(...pairs.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
}

function models(scaled) {
  const grid = element("div", null, { class: "models" });
  for (const [source, score] of Object.entries(scaled || {})) {
    if (score === null) continue;
    const name = labels[source] || source;
    grid.append(element("span", name), element("meter", null, { min: 0, max: 1, value: score, "aria-label": `${name} ${score}` }),
      element("span", score.toFixed(2)));
  }
  return grid;
}

function rows(answer, explained) {
  const items = answer.startups || answer.users;
  const by = Object.fromEntries(((explained && explained.list) || []).map((place) => [place.id, place]));
  $("list").tBodies[0].replaceChildren(...items.map((item, i) => {
    const row = element("tr");
    row.append(element("td", i + 1, { class: "number" }), who(named(explained && explained.names, item.id), item.id),
      element("td", item.score.toFixed(3), { class: "number" }), element("td", item.reasons.join("; ")));
    const cell = element("td");
    cell.append(by[item.id] ? models(by[item.id].scaled) : element("span", explained ? "not ranked now" : "…", { class: "hint" }));
    row.append(cell);
    return row;
  }));
  $("ended").textContent = answer.reason || (answer.short ? "The list is shorter than requested." : "");
}

async function show() {
  const mine = ++turn, owner = chosen.owner;
  if (!owner) return trouble(new Refused(0, "Choose an owner: type two letters of a name and choose, or paste an id."));
  for (const part of ["answer", "missing", "compare"]) $(part).hidden = true;
  $("because").replaceChildren();
  sides(null);
  trouble(null);
  location.hash = `${surface()}/${owner.id}`;
  let answer;
  try { answer = await ask(`/api/recommendations/${surface()}/${owner.id}?limit=${$("limit").value}`); }
  catch (error) { return mine === turn && trouble(error); }
  if (mine !== turn) return;
  title(owner);
  facts(answer);
  rows(answer, null);
  for (const part of ["answer", "missing", "compare"]) $(part).hidden = false;
  $("answer-title").focus();
  try {
    const explained = await ask(`/api/explain/${surface()}/${owner.id}`);
    await opened;
    if (mine !== turn) return;
    title({ id: owner.id, name: owner.name || named(explained.names, owner.id) });
    rows(answer, explained);
  } catch (error) { if (mine === turn) trouble(error); }
}

function title(owner) {
  $("answer-title").textContent = `${surface().split("/")[0]} for ${owner.name || owner.id}`;
}

// ---- why an item is missing

async function why() {
  const item = chosen.item, mine = turn;
  if (!item) return trouble(new Refused(0, "Choose the expected item: type two letters of a name and choose, or paste an id."));
  trouble(null);
  let found;
  try { found = await ask(`/api/explain/${surface()}/${chosen.owner.id}?item=${item.id}`); }
  catch (error) { return trouble(error); }
  if (mine !== turn) return;
  const name = named(found.names, item.id) || item.name || item.id;
  const sentence = found.listed ? `${name} is in the list, at place ${found.place}.` : `${name} is not in the list: ${found.because}.`;
  const parts = [element("p", sentence, { class: "sentence" })];
  if (found.events && found.events.length > 1)
    parts.push(element("p", `All events: ${found.events.map((e) => `${e.kind} on ${when(e.at)}`).join(", ")}.`));
  if (found.last_score_in_list !== undefined)
    parts.push(element("p", `The last place of the list has the score ${found.last_score_in_list.toFixed(3)}. Scores of each model for ${name}:`));
  if (found.scaled) parts.push(models(found.scaled));
  $("because").replaceChildren(...parts);
}

// ---- two releases

function sides(compared) {
  const region = $("sides").parentElement;
  region.hidden = !compared;
  const none = $("other").options.length ? "" : "Redis holds no other release yet.";
  $("overlap").textContent = compared ? `${compared.overlap_at_10} of the first ten places are the same.` : none;
  $("sides").tBodies[0].replaceChildren(...((compared && compared.items) || []).map((item) => {
    const row = element("tr");
    const moved = item.now && item.then ? item.then - item.now : null;
    const word = moved === null ? (item.now ? "new" : "gone") : moved > 0 ? `↑ ${moved}` : moved < 0 ? `↓ ${-moved}` : "same";
    row.append(who(item.name, item.id), element("td", item.now || "–", { class: "number" }),
      element("td", item.then || "–", { class: "number" }), element("td", word, { class: "number" }));
    return row;
  }));
}

async function compare() {
  const mine = turn;
  trouble(null);
  try {
    const compared = await ask(`/api/compare/${surface()}/${chosen.owner.id}?release=${encodeURIComponent($("other").value)}`);
    if (mine === turn) sides(compared);
  } catch (error) { trouble(error); }
}

async function releases() {
  try {
    const found = await ask("/api/releases");
    labels = found.sources;
    const live = found.releases[0];
    const lists = Object.values(live.lists).reduce((sum, n) => sum + n, 0);
    $("release").textContent = `Live: ${live.release}, as of ${when(live.as_of)}, ${lists.toLocaleString("en")} lists`;
    const others = found.releases.slice(1);
    $("other").replaceChildren(...others.map((r) => element("option", `${r.release}, as of ${when(r.as_of)}`, { value: r.release })));
    $("against").hidden = !others.length;
    sides(null);
  } catch (error) {
    $("release").textContent = "No release can be read.";
    trouble(error);
  }
}

function form(id, act) {
  $(id).addEventListener("submit", (event) => { event.preventDefault(); act(); });
}

finder($("owner"), $("owner-found"), "owners", (one) => { chosen.owner = one; });
finder($("item"), $("item-found"), "items", (one) => { chosen.item = one; });
$("surface").addEventListener("change", () => {
  chosen.owner = chosen.item = null;
  $("owner").value = $("item").value = "";
});
form("ask", show);
form("why", why);
form("against", compare);
form("key-form", () => { sessionStorage.setItem("matchbook-key", $("key").value.trim()); $("key").value = ""; trouble(null); releases(); });

const opened = releases();
const linked = location.hash.slice(1).match(/^([a-z]+\/for-[a-z]+)\/([0-9a-f-]{36})$/);
if (linked) {
  $("surface").value = linked[1];
  $("owner").value = linked[2];
  chosen.owner = { id: linked[2], name: "" };
  show();
}
