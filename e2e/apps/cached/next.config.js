const { version } = require("next/package.json");

const handler = require.resolve("isrd/cache-handlers");
const cacheHandlers = { default: handler, remote: handler };
const cacheLife = {
  hour: { stale: 300, revalidate: 3600, expire: 86_400 },
  short: { stale: 300, revalidate: 4, expire: 3600 },
};

module.exports = {
  cacheHandler: require.resolve("isrd/cache-handler"),
  cacheMaxMemorySize: 0,
  ...(Number.parseInt(version, 10) >= 16
    ? { cacheComponents: true, cacheHandlers, cacheLife }
    : { experimental: { useCache: true, cacheHandlers, cacheLife } }),
};
