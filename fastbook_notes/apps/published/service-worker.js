// Keeps the page itself, so that it opens without a connection; the model is kept by worker.js, in the same cache
const FILES = $files;
const FOLDER = new URL(".", self.location), CACHE = `fastbook-notes ${FOLDER.pathname}`;
const plain = (address) => new URL(address.split("?")[0], FOLDER).href;
const SHELL = new Set(FILES.map(plain));

oninstall = (event) => {
  skipWaiting();
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await Promise.all(FILES.map(async (file) => {
      const answer = await fetch(file, { cache: "no-cache" });
      if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
      await cache.put(plain(file), answer);
    }));
  })());
};
onactivate = (event) => event.waitUntil(clients.claim());
onfetch = (event) => {
  if (event.request.method !== "GET" || !SHELL.has(plain(event.request.url))) return;
  event.respondWith(fetch(event.request).catch(async () => (await caches.open(CACHE)).match(plain(event.request.url))));
};
