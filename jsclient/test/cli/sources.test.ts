import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import type http from "node:http";
import path from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { inject, isrd, type Project, project, refusalsOf, serve, summaryOf } from "./support.js";

const NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9";

function urlset(...locs: string[]): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="${NAMESPACE}">${locs
    .map((loc) => `<url><loc>${loc}</loc><priority>0.5</priority></url>`)
    .join("\n")}</urlset>`;
}

function index(...locs: string[]): string {
  return `<sitemapindex xmlns="${NAMESPACE}">${locs.map((loc) => `<sitemap><loc>${loc}</loc></sitemap>`).join("")}</sitemapindex>`;
}

/** Answers by path; a function may do as it likes. */
function site(pages: Record<string, string | Buffer | http.RequestListener>): http.RequestListener {
  return (request, response) => {
    const page = pages[request.url ?? ""];
    if (typeof page === "function") return page(request, response);
    if (page === undefined) response.statusCode = 404;
    return void response.end(page);
  };
}

function injectFrom(app: Project, ...args: string[]) {
  return isrd(["inject-routes", ...args, "--output", "json"], { cwd: app.folder });
}

/** Writes a sitemap into the project and injects from it. */
function fromFile(app: Project, content: string | Buffer, ...args: string[]) {
  writeFileSync(path.join(app.folder, "sitemap.xml"), content);
  return injectFrom(app, "--sitemap", "sitemap.xml", "--origin", "https://shop.example", ...args);
}

function blogNames(app: Project): string[] {
  return Object.keys(app.manifest().routes).filter((name) => /^\/blog\/new/.test(name));
}

describe("sitemaps", () => {
  test("entities, CDATA, comments, namespaces and white space are read as XML has them", async (t) => {
    const app = project(t, "next15");
    const xml = `\ufeff<?xml version="1.0" encoding="utf-8"?>
      <!DOCTYPE urlset SYSTEM "http://127.0.0.1:1/never-loaded.dtd">
      <s:urlset xmlns:s="${NAMESPACE}" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
        <!-- <s:url><s:loc>https://shop.example/blog/new-comment</s:loc></s:url> -->
        <s:url><s:loc>
          https://shop.example/blog/new&amp;1&#x2D;&#45;
        </s:loc><image:image><image:loc>https://shop.example/blog/new-image</image:loc></image:image></s:url>
        <s:url><s:loc><![CDATA[https://shop.example/blog/new<2]]></s:loc></s:url>
        <s:url><image:loc>https://shop.example/blog/new-image-2</image:loc></s:url>
        <s:url><s:loc/></s:url>
        <s:loc>https://shop.example/blog/new-outside</s:loc>
      </s:urlset>`;
    const outcome = await fromFile(app, xml);
    assert.equal(outcome.code, 0, outcome.err);
    assert.deepEqual(blogNames(app), ["/blog/new&1--", "/blog/new<2"]);
  });

  test("an index is followed, gzip or not, and each sitemap once", async (t) => {
    const app = project(t, "next15");
    const asked: string[] = [];
    let origin = "";
    const pages = site({
      "/sitemap.xml": (_, response) =>
        void response.end(
          index(`${origin}/a.xml`, `${origin}/b.xml.gz`, `${origin}/sitemap.xml`, `${origin}/deeper.xml`),
        ),
      "/a.xml": (_, response) =>
        void response.end(urlset(`${origin}/blog/new-a`, "https://elsewhere.example/blog/new-x")),
      "/b.xml.gz": (_, response) => void response.end(gzipSync(urlset(`${origin}/blog/new-b`))),
      "/deeper.xml": (_, response) => void response.end(index(`${origin}/c.xml`, `${origin}/a.xml`)),
      "/c.xml": (_, response) => {
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync(urlset(`${origin}/blog/new-c`)));
      },
    });
    origin = await serve(t, (request, response) => {
      asked.push(request.url ?? "");
      pages(request, response);
    });
    const outcome = await injectFrom(app, "--sitemap", `${origin}/sitemap.xml`);
    assert.deepEqual(blogNames(app), ["/blog/new-a", "/blog/new-b", "/blog/new-c"], outcome.err);
    assert.deepEqual(refusalsOf(outcome), { origin: ["https://elsewhere.example/blog/new-x"] });
    assert.deepEqual(asked, ["/sitemap.xml", "/a.xml", "/b.xml.gz", "/deeper.xml", "/c.xml"]);
  });

  test("--origin says whose URLs are taken, where a sitemap is read elsewhere", async (t) => {
    const app = project(t, "next15");
    const origin = await serve(
      t,
      site({ "/s.xml": urlset("https://shop.example/blog/new-1", "http://SHOP.example:80/blog/new-2") }),
    );
    const outcome = await injectFrom(app, "--sitemap", `${origin}/s.xml`, "--origin", "https://shop.example");
    assert.deepEqual(blogNames(app), ["/blog/new-1", "/blog/new-2"], outcome.err);
    const without = await injectFrom(project(t, "next15"), "--sitemap", `${origin}/s.xml`);
    assert.deepEqual([without.code, Object.keys(refusalsOf(without))], [1, ["origin"]]);
  });

  test("an index without end ends", async (t) => {
    let count = 0;
    let origin = "";
    origin = await serve(t, (_, response) => void response.end(index(`${origin}/${count++}.xml`)));
    const outcome = await injectFrom(project(t, "next15"), "--sitemap", `${origin}/sitemap.xml`);
    assert.equal(outcome.code, 1);
    assert.match(outcome.err, /is an index at depth 3; 3 are followed/);
  });

  test("an index names no files", async (t) => {
    const outcome = await fromFile(project(t, "next15"), index("file:///etc/passwd"));
    assert.match(outcome.err, /names the sitemap "file:\/\/\/etc\/passwd", which is no http URL/);
  });

  for (const [what, content, message] of [
    [
      "an external entity",
      `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${urlset("&e;")}`,
      /Invalid character entity/,
    ],
    [
      "entities of entities",
      `<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>${urlset("&c;")}`,
      /Invalid character entity/,
    ],
    ["HTML", "<!doctype html><html><body>Not found</body></html>", /first element is <html>, not <urlset>/],
    ["text", "https://shop.example/blog/a", /not a sitemap: .*\(a list of URLs is for --list\)/],
    ["half of one", urlset("https://shop.example/blog/a").slice(0, -12), /not a sitemap: Unclosed root tag/],
    [
      "bytes that are not UTF-8",
      Buffer.from(urlset("https://shop.example/blog/\xe9"), "latin1"),
      /not a sitemap: .*encoded data/,
    ],
    [
      "another encoding",
      `<?xml version="1.0" encoding="ISO-8859-1"?>${urlset("x")}`,
      /encoding is iso-8859-1; sitemaps are UTF-8/,
    ],
    ["an undeclared namespace", `<s:urlset><s:url/></s:urlset>`, /Unbound namespace prefix/],
    ["broken gzip", gzipSync(urlset("https://shop.example/blog/a")).subarray(0, 60), /sitemap.xml is not good gzip/],
    ["nothing", urlset(), /the sources have no URL/],
  ] as [string, string | Buffer, RegExp][]) {
    test(`${what} is one clear error, and nothing is written`, async (t) => {
      const app = project(t, "next15");
      const outcome = await fromFile(app, content);
      assert.deepEqual([outcome.code, outcome.out], [1, ""]);
      assert.match(outcome.err, message);
      assert.equal(outcome.err.split("\n").length, 1);
    });
  }

  test("a URL of megabytes is cut, and matches nothing", async (t) => {
    const outcome = await fromFile(
      project(t, "next15"),
      urlset(`https://shop.example/nowhere/${"x".repeat(1_000_000)}`),
    );
    assert.ok(outcome.out.length < 1000, "nor is it shown");
  });
});

describe("bounds", () => {
  test("a document has a size, on the wire", async (t) => {
    let sent = 0;
    const origin = await serve(t, (request, response) => {
      const chunk = Buffer.alloc(64 * 1024, " ");
      const more = (): void => {
        while (!request.socket.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.write(`<urlset xmlns="${NAMESPACE}">`);
      response.on("drain", more);
      more();
    });
    const outcome = await injectFrom(project(t, "next15"), "--sitemap", `${origin}/s.xml`, "--max-bytes", "1000000");
    assert.equal(outcome.code, 1);
    assert.match(outcome.err, /\/s.xml has more than 1000000 bytes: split it, or raise the limit with --max-bytes/);
    assert.ok(sent < 20_000_000, `${sent} bytes were sent`);
  });

  test("and unpacked: a bomb is put out", async (t) => {
    const bomb = gzipSync(Buffer.alloc(200_000_000, " "));
    const before = process.memoryUsage().rss;
    const outcome = await fromFile(project(t, "next15"), bomb);
    assert.match(outcome.err, /sitemap.xml has more than 67108864 bytes/);
    assert.ok(process.memoryUsage().rss - before < 150_000_000);
  });

  test("there is a number of URLs", async (t) => {
    const outcome = await inject(project(t, "next15"), ["/blog/1", "/blog/2", "/blog/3"], "--max-urls", "2");
    assert.equal(outcome.code, 1);
    assert.match(outcome.err, /more than 2 URLs/);
  });

  test("a server that says nothing is given up", async (t) => {
    const silent = await serve(t, () => {});
    const outcome = await injectFrom(project(t, "next15"), "--sitemap", `${silent}/s.xml`, "--timeout", "1");
    assert.match(outcome.err, /cannot be read: no answer within 1000 ms/);
    const stalling = await serve(t, (_, response) => void response.write("<urlset>"));
    const stalled = await injectFrom(project(t, "next15"), "--sitemap", `${stalling}/s.xml`, "--timeout", "1");
    assert.match(stalled.err, /cannot be read: no answer within 1000 ms/);
  });

  test("what is not there is named", async (t) => {
    const origin = await serve(t, site({}));
    const outcome = await injectFrom(project(t, "next15"), "--sitemap", `${origin}/s.xml`);
    assert.match(outcome.err, /\/s.xml answers 404: is the URL right/);
    const refused = await injectFrom(project(t, "next15"), "--sitemap", "http://127.0.0.1:1/s.xml");
    assert.match(refused.err, /127.0.0.1:1\/s.xml cannot be read: .*ECONNREFUSED|bad port/);
    const file = await injectFrom(project(t, "next15"), "--list", "urls.txt");
    assert.match(file.err, /urls.txt cannot be read: ENOENT/);
  });
});

describe("lists", () => {
  test("lines of text, with comments, blanks and either line end", async (t) => {
    const app = project(t, "next15");
    const text = "# pages\r\n/blog/new-1\r\n\r\n  /blog/new 2  \n\t# more\n/blog/new-3";
    const outcome = await isrd(["inject-routes", "--list", "-", "--output", "json"], { cwd: app.folder, stdin: text });
    assert.equal(outcome.code, 0, outcome.err);
    assert.deepEqual(blogNames(app), ["/blog/new-1", "/blog/new 2", "/blog/new-3"]);
  });

  test("a JSON array of strings and objects", async (t) => {
    const app = project(t, "next15");
    const items = [
      "/blog/new-1",
      { path: "/blog/new-2" },
      { url: "https://shop.example/blog/new-3" },
      { slug: "x" },
      7,
      null,
    ];
    writeFileSync(path.join(app.folder, "urls.json"), `\n ${JSON.stringify(items, null, 1)}`);
    const outcome = await injectFrom(app, "--list", "urls.json", "--origin", "https://shop.example");
    assert.deepEqual(blogNames(app), ["/blog/new-1", "/blog/new-2", "/blog/new-3"]);
    assert.deepEqual(refusalsOf(outcome), { "no-path": ['{"slug":"x"}', "7", "null"] });
  });

  test("sources add up", async (t) => {
    const app = project(t, "next15");
    writeFileSync(path.join(app.folder, "a.txt"), "/blog/new-1\n/blog/new-2\n");
    writeFileSync(path.join(app.folder, "b.txt"), "/blog/new-2\n/blog/new-3\n");
    const outcome = await injectFrom(app, "--list", "a.txt", "--list", "b.txt");
    assert.equal(summaryOf(outcome).added, 3);
  });
});

describe("--json", () => {
  test("the array at the pointer, with the headers that were given", async (t) => {
    const app = project(t, "next15");
    let seen: http.IncomingHttpHeaders = {};
    const body = JSON.stringify({ "a/b": { "m~n": [[], [{ path: "/blog/new-1" }, "/blog/new-2"]] } });
    const origin = await serve(t, (request, response) => {
      seen = request.headers;
      response.end(body);
    });
    const args = [
      "--json",
      `${origin}/pages`,
      "--pointer",
      "/a~1b/m~0n/1",
      "--header",
      "authorization: Bearer a:b",
      "--header",
      "X-Key:k",
    ];
    const outcome = await injectFrom(app, ...args);
    assert.deepEqual(blogNames(app), ["/blog/new-1", "/blog/new-2"], outcome.err);
    assert.deepEqual([seen.authorization, seen["x-key"], seen.accept], ["Bearer a:b", "k", "application/json"]);
  });

  test("a redirect is followed, but takes no headers to another origin", async (t) => {
    const seen: (string | undefined)[] = [];
    const far = await serve(t, (request, response) => {
      seen.push(request.headers["x-key"] as string | undefined);
      response.end('["/blog/new-1"]');
    });
    const near = await serve(t, (request, response) => {
      seen.push(request.headers["x-key"] as string | undefined);
      response.writeHead(302, { location: request.url === "/1" ? "/2" : `${far}/3` }).end();
    });
    const app = project(t, "next15");
    const outcome = await injectFrom(app, "--json", `${near}/1`, "--header", "X-Key: secret");
    assert.equal(outcome.code, 0, outcome.err);
    assert.deepEqual(seen, ["secret", "secret", undefined]);
  });

  for (const [what, body, pointer, message] of [
    ["no JSON", "<html>", "", /\/p is not JSON/],
    ["no array", '{"a":{}}', "", /\/p is not an array: name the array of URLs with --pointer/],
    ["no array at the pointer", '{"a":{}}', "/a", /"\/a" in .*\/p is not an array/],
    ["nothing at the pointer", '{"a":{}}', "/b/c", /has no "b" where --pointer "\/b\/c" looks for it/],
    ["what every object has", '{"a":{}}', "/a/toString", /has no "toString"/],
  ] as [string, string, string, RegExp][]) {
    test(`${what} is one clear error`, async (t) => {
      const origin = await serve(t, site({ "/p": body }));
      const outcome = await injectFrom(project(t, "next15"), "--json", `${origin}/p`, "--pointer", pointer);
      assert.deepEqual([outcome.code, outcome.out], [1, ""]);
      assert.match(outcome.err, message);
    });
  }

  test("a header that is none is not shown: it may be a secret", async (t) => {
    const outcome = await injectFrom(project(t, "next15"), "--json", "http://127.0.0.1:1/", "--header", "Bearer hush");
    assert.equal(outcome.code, 2);
    assert.doesNotMatch(outcome.err, /hush/);
  });
});
