// Prints the events of a log, one a line, and posts the lines of its input; goes on where its cursor file says.
//   TOKEN=… node main.mjs LOG CURSOR_FILE http://localhost:8080 [more addresses of the fleet]
import { webcrypto } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { follow } from "./client.mjs";

globalThis.crypto ??= webcrypto; // Node 18
globalThis.WebSocket ??= (await import("ws")).WebSocket; // Node before 22
const [log, file, ...addresses] = process.argv.slice(2);
const cursor = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
const save = (cursor) => { writeFileSync(file + ".new", JSON.stringify(cursor)); renameSync(file + ".new", file); };
const handle = ({ log, epoch, pts, timeMs, sender, ...content }) => console.log(pts, sender, JSON.stringify(content));
const replace = (info, events) => { console.log("replaced", JSON.stringify(info)); events.forEach(handle); };
const failed = (error) => { console.error(error.code, error.message); process.exit(1); };

const post = follow({ addresses, token: process.env.TOKEN, device: "example-js", log, cursor, handle, save, replace, failed });
for await (const text of createInterface({ input: process.stdin })) {
  const { error } = await post(text); // one at a time
  if (error) console.error("not posted:", error.code, error.message);
}
