module.exports = { cacheHandler: require.resolve("isrd/cache-handler"), cacheMaxMemorySize: 0 };
