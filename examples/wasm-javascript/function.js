// A function in JavaScript: `examples/wasm-javascript/build.sh`.

const items = { 1: 'house', 2: 'camel', 3: 'door' };

async function answer(request) {
  const url = new URL(request.url);
  if (url.pathname === '/') {
    return Response.json({ message: 'Hello from Wasm' });
  }
  const item = url.pathname.match(/^\/items\/(\w+)$/);
  if (item) {
    const name = items[item[1]];
    return name ? Response.json({ name }) : new Response(`there is no item ${item[1]}\n`, { status: 404 });
  }
  if (url.pathname === '/echo') {
    return new Response(await request.text(), { headers: { 'x-method': request.method } });
  }
  if (url.pathname === '/fetch') {
    const fetched = await fetch(url.searchParams.get('url'));
    return Response.json({ status: fetched.status, body: await fetched.text() });
  }
  return new Response('there is nothing here\n', { status: 404 });
}

addEventListener('fetch', (event) => {
  event.respondWith(answer(event.request).catch((error) => {
    console.error(error);
    return new Response(`${error}\n`, { status: 500 });
  }));
});
