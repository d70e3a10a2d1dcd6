import http from "node:http";

const TIMEOUT_MS = 60_000;

/**
 * Tells the origin that a render has begun, and returns the render's number, which no other render has, with the version
 * of the page's data. The origin may hold the answer for as long as a test wants the render to last.
 *
 * By node:http and not by fetch: Next.js must neither cache nor count it.
 */
export async function beginRender(page) {
  const body = await post(`${process.env.ORIGIN_URL}/renders${page}`);
  return JSON.parse(body);
}

/** Data through Next.js's own fetch cache, tagged `data:<name>`. */
export async function fetchData(name) {
  const response = await fetch(`${process.env.ORIGIN_URL}/data/${name}`, {
    cache: "force-cache",
    next: { tags: [`data:${name}`], revalidate: 3600 },
  });
  return response.json();
}

function post(url) {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that the origin has closed meanwhile would fail the render.
    const request = http.request(url, { method: "POST", agent: false, timeout: TIMEOUT_MS }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`origin answered ${response.statusCode}: ${text}`));
      });
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error(`origin did not answer within ${TIMEOUT_MS} ms`)));
    request.on("error", reject);
    request.end();
  });
}
