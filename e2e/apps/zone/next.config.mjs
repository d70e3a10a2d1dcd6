import { createRequire } from "node:module";

export default {
  cacheHandler: createRequire(import.meta.url).resolve("isrd/cache-handler"),
  cacheMaxMemorySize: 0,
  basePath: "/zone",
  i18n: { locales: ["en", "de"], defaultLocale: "en", localeDetection: false },
  output: "standalone",
};
