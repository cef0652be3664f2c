// Bun's built-in publish to all who have subscribed. Each line on the standard input is posts, as a JSON array of texts.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("a WebSocket client connects here", { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      socket.subscribe("bench");
    },
    message() {},
  },
});
console.log(JSON.stringify({ Address: `127.0.0.1:${server.port}`, Path: "/" }));
for await (const line of console) {
  for (const text of JSON.parse(line)) server.publish("bench", text);
  console.log(JSON.stringify("posted"));
}
