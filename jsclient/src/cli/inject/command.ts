import path from "node:path";
import { Failure, misuse } from "../failure.js";
import type { Io } from "../io.js";
import { isUrl } from "./documents.js";
import { ManifestFile, standaloneManifests } from "./files.js";
import { jsonSource, listSource } from "./lists.js";
import { type BuildOutput, findOutput, type I18n, PRERENDER_MANIFEST, readOutput } from "./manifests.js";
import { HELP, type Options, parseOptions } from "./options.js";
import { hostOf } from "./paths.js";
import { Plan } from "./plan.js";
import { RouteTable } from "./route-table.js";
import { sitemapSource } from "./sitemap.js";
import type { Source } from "./sources.js";
import { describe, type Summary } from "./summary.js";

/** `isrd inject-routes`. Returns what the process exits with. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const options = parseOptions(args);
  if (options.help) {
    io.out(HELP);
    return 0;
  }
  const folder = findOutput(path.resolve(io.cwd, options.dir));
  const files = await openManifests(folder);
  return options.restore ? restore(files, io) : inject(folder, files, options, io);
}

async function restore(files: readonly ManifestFile[], io: Io): Promise<number> {
  for (const file of files) {
    await file.restore();
    io.out(`restored: ${file.file}`);
  }
  return 0;
}

async function inject(folder: string, files: readonly ManifestFile[], options: Options, io: Io): Promise<number> {
  const output = await readOutput(folder);
  const plan = planFor(output, files, options);
  let urls = 0;
  for await (const source of sourcesOf(options, output, io)) {
    for await (const candidate of source) {
      urls += 1;
      if (urls > options.maxUrls) {
        throw new Failure(
          `there are more than ${options.maxUrls} URLs: each costs memory in every process; see --max-urls`,
        );
      }
      plan.take(candidate);
    }
  }
  if (urls === 0) throw new Failure("the sources have no URL: nothing was done");
  const summary = await write(plan, files, options);
  if (options.output === "json") io.out(JSON.stringify(summary));
  else for (const line of describe(summary)) io.out(line);
  const { added, changed, unchanged, prerendered, refused } = summary;
  const isDone = added + changed + unchanged + prerendered > 0 && !(options.strict && refused.length > 0);
  return isDone ? 0 : 1;
}

/** The build's manifest first, then its copies. */
async function openManifests(folder: string): Promise<ManifestFile[]> {
  const main = await ManifestFile.open(path.join(folder, PRERENDER_MANIFEST));
  const files = [main];
  for (const file of await standaloneManifests(folder)) {
    const copy = await ManifestFile.open(file);
    if (!copy.isOfSameBuild(main)) throw new Failure(`${file} is of another build than ${main.file}: build again`);
    files.push(copy);
  }
  return files;
}

function planFor(output: BuildOutput, files: readonly ManifestFile[], options: Options): Plan {
  const { basePath, i18n } = output.routes;
  const original = (files[0] as ManifestFile).original;
  const table = new RouteTable(output, original, localeFrom(options.locale, i18n));
  for (const pattern of options.lifetimes.byRoute.keys()) {
    if (table.patterns.includes(pattern)) continue;
    throw misuse(
      `--route ${pattern}: there is no such route; there are ${table.patterns.join(", ") || "none with parameters"}`,
    );
  }
  const hosts = options.hosts.length > 0 ? options.hosts : options.sitemaps.filter(isUrl).map(hostOf);
  return new Plan({
    ...{ output, original, table, lifetimes: options.lifetimes },
    place: { hosts: new Set(hosts), basePath: options.basePath ?? basePath ?? "" },
    localeOf: options.locale === undefined ? localesByHost(i18n) : () => undefined,
  });
}

function localeFrom(locale: string | undefined, i18n: I18n | null | undefined): string | undefined {
  if (locale === undefined) return undefined;
  const known = i18n?.locales.find((one) => one.toLowerCase() === locale.toLowerCase());
  if (known !== undefined) return known;
  throw misuse(`--locale is "${locale}": the build has ${i18n?.locales.join(", ") || "no locales"}`);
}

/** With domains of its own, a build has a default locale for each. */
function localesByHost(i18n: I18n | null | undefined): (url: string) => string | undefined {
  const locales = new Map(i18n?.domains?.map(({ domain, defaultLocale }) => [domain.toLowerCase(), defaultLocale]));
  return locales.size === 0 ? () => undefined : (url) => (isUrl(url) ? locales.get(hostOf(url)) : undefined);
}

async function* sourcesOf(options: Options, output: BuildOutput, io: Io): AsyncGenerator<Source> {
  const { bounds, headers, pointer } = options;
  for (const name of options.sitemaps) yield sitemapSource(name, io.cwd, bounds);
  for (const name of options.lists) yield listSource(name, io, bounds);
  for (const name of options.jsons) yield jsonSource(name, { pointer, headers, cwd: io.cwd, bounds });
  if (options.fromDaemon) {
    const { daemonSource } = await import("./daemon.js"); // with gRPC, which nothing else here needs
    yield daemonSource(output, io, bounds);
  }
}

async function write(plan: Plan, files: readonly ManifestFile[], { dryRun }: Options): Promise<Summary> {
  const merged = files.map((file) => file.merge(plan.entries));
  const written: string[] = [];
  for (const file of dryRun ? [] : files) {
    if (await file.save()) written.push(file.file);
  }
  const { added = 0, changed = 0, unchanged = 0 } = merged[0] ?? {};
  const { prerendered, refusals } = plan;
  return {
    written: written.length > 0,
    dryRun,
    added,
    changed,
    unchanged,
    prerendered,
    refused: refusals.list,
    files: written,
  };
}
