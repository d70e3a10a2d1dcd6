/** One reading of a daemon's /metrics. */
export class Metrics {
  readonly #samples: readonly { name: string; labels: Record<string, string>; value: number }[];

  /** Reads the text format of Prometheus. */
  constructor(text: string) {
    this.#samples = text.split("\n").flatMap((line) => {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      return match?.[1] ? [{ name: match[1], labels: readLabels(match[2] ?? ""), value: Number(match[3]) }] : [];
    });
  }

  /** The sum of all samples of that name that have these labels; 0 if there are none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    return this.#samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, { value }) => sum + value, 0);
  }
}

function readLabels(text: string): Record<string, string> {
  const pairs = text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries([...pairs].map(([, label, value]) => [label, (value ?? "").replace(/\\(.)/g, "$1")]));
}
