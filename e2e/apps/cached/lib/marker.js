/** The line by which tests know which call a response came from, and how old its data was. */
export function marker({ render, version, inner }) {
  return `[[render=${render} version=${version} fetched=${inner?.version ?? 0}]]`;
}
