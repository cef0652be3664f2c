// A client of one log, for browsers and Node, as docs/protocol.md says, whose sections are named. main.mjs is a program around it.
const passes = (e) => e && !/INVALID|UNAUTHENTICATED|EXPIRED|DENIED|NOT_|TOO_LARGE|TOO_OLD|REUSED|UNSUPPORTED/.test(e.code); // 15
const pause = (hintMs = 0, maxMs) => new Promise((f) => setTimeout(f, hintMs + Math.random() * (hintMs || Math.min(30_000, maxMs))));
export function follow({ addresses, token, device, log, cursor = { log }, handle, save, replace, failed }) {
  const next = () => BigInt(cursor.pts ?? 0) + 1n; // in JSON 64-bit numbers are strings, and what is 0 is left out
  const isNew = (c) => c.epoch !== cursor.epoch || BigInt(c.pts ?? 0) >= next();
  let outbox = new Set(), send = () => {}; // posts without an answer, and how the session sends one
  (function session(failures, at) { // one connection; when it ends the next one begins: section 14
    const ws = new WebSocket(addresses[at % addresses.length].replace(/^http/, "ws") + "/v1/session", "chatfleet.v1.json");
    let ref = 0, open = new Map(), held = new Map(), began, over, asking, again, pings, silence = setTimeout(() => end(), 10_000);
    const end = (afterMs, n = performance.now() - began > 10_000 ? 0 : failures) => {
      if (!over) pause(afterMs, 1_000 * 2 ** n).then(() => session(n + 1, at + 1));
      over = true; clearInterval(pings); clearTimeout(silence); ws.close();
    };
    const refused = (e) => (passes(e) ? end(e.retryAfterMs) : failed(e));
    const call = async (body, n = 0) => { // repeats what fails only for now: section 15
      const answer = await new Promise((got) => { open.set(++ref, got); ws.send(JSON.stringify({ ref, ...body })); });
      return passes(answer.error) && (n < 4 || !/INTERNAL/.test(answer.error.code)) ? pause(answer.error.retryAfterMs, 250 * 2 ** n).then(() => call(body, n + 1)) : answer;
    };
    const take = (e) => { // apply, drop or hold: section 7
      if (e.epoch !== (cursor.epoch ??= e.epoch)) return ask(); // without a cursor: from the first event on
      if (isNew(e) && (held.size < 500 || BigInt(e.pts) === next())) held.set(e.pts, e);
      for (let h; (h = held.get(`${next()}`)); save(cursor = { ...cursor, pts: h.pts })) { held.delete(h.pts); handle(h); }
      if (held.has(e.pts)) setTimeout(() => held.has(e.pts) && ask(), 500);
    };
    const ask = async (n = 0) => { // for the difference: section 8
      if (asking) return (again = true);
      const before = cursor, { difference: d, error } = await (asking = call({ difference: { cursor } }));
      if (error) return refused(error);
      if (d.kind !== "KIND_TOO_LONG") d.events?.forEach(take);
      else if (isNew(d.cursor)) { replace(d.info, d.events ?? []); save(cursor = d.cursor); again ||= held.size; held.clear(); }
      const more = again || held.size || !/EMPTY|FINAL|TOO_LONG/.test(d.kind), misses = cursor === before ? n + 1 : 0;
      if (more && (misses || d.kind !== "KIND_SLICE")) await pause(250 * 2 ** Math.min(misses, 5));
      asking = again = false; if (more) ask(misses);
    };
    ws.onopen = async () => { // section 5
      const { error, signedIn } = await call({ signIn: { token, device, client: "example-js/1", cursors: [cursor] } });
      if (error ?? signedIn.logs[0].error) return refused(error ?? signedIn.logs[0].error);
      began = performance.now(); cursor.epoch ??= signedIn.logs[0].epoch; // unless an event was faster: the promise is one turn late
      pings = setInterval(() => { call({ ping: {} }); silence ??= setTimeout(end, 10_000); }, signedIn.limits.pingWithinMs / 2);
      if (signedIn.logs[0].status !== "STATUS_LIVE" || isNew(signedIn.logs[0])) ask();
      outbox.forEach(send = (post) => { // section 10
        call({ post: post.body }).then((answer) => { outbox.delete(post); post.done(answer); });
        post.body.firstSentMs ??= `${Math.floor(Number(signedIn.serverTimeMs) + performance.now() - began)}`; // for a repeat
      });
    };
    ws.onmessage = ({ data }) => {
      const { ref, event, tooLong, comeBack, ...answer } = JSON.parse(data);
      silence = clearTimeout(silence);
      if (ref) { open.get(ref)?.(answer); open.delete(ref); } else if (event) take(event); else if (comeBack) end(comeBack.afterMs);
      else if (tooLong && isNew(tooLong)) ask(); else if (answer.error) refused(answer.error);
    };
    ws.onclose = ws.onerror = () => end();
  })(0, Math.floor(Math.random() * addresses.length));
  return (text) => new Promise((done) => {
    const id = crypto.getRandomValues(new BigUint64Array(1))[0], post = { done, body: { log, randomId: `${id}`, message: { text } } };
    outbox.add(post); send(post);
  });
}
