/** The whole set-up of isrd: these two lines. */
const isrd = () => ({
  cacheHandler: require.resolve("isrd/cache-handler"),
  cacheMaxMemorySize: 0,
});

/** @type {import('next').NextConfig} */
const shop = { poweredByHeader: false };

// A real app has the two lines in its config and is done. The demo runs the same build with and without them.
module.exports = process.env.SHOP_CACHE === "isrd" ? { ...shop, ...isrd() } : shop;
