/** Which of an app's replicas this process is, as far as its platform says. */
export interface Who {
  /** Its number, from 0; undefined where there is none. */
  readonly ordinal: number | undefined;
  /** What it goes by, for people. */
  readonly instance: string;
  /** Where the number comes from, such as `ISRD_ORDINAL`; empty if there is none. */
  readonly source: string;
}

/** A number of at most four digits: what a Deployment puts behind the last hyphen of a pod's name has five characters. */
const NUMBERED = /(?:^|-)(0|[1-9]\d{0,3})$/;

/**
 * Finds out who this process is. Whatever is said for isrd alone comes first; a StatefulSet numbers its pods in their host
 * names, Cloud Foundry and PM2 in variables. The daemon has the same rules.
 */
export function whoami(env: NodeJS.ProcessEnv, hostname: string): Who {
  const given = env["ISRD_INSTANCE"]?.trim();
  const instance = given || hostname;
  const found = (ordinal: number | undefined, source: string): Who | undefined =>
    ordinal === undefined ? undefined : { ordinal, instance, source };
  return (
    found(whole(env["ISRD_ORDINAL"]), "ISRD_ORDINAL") ??
    found(numberOf(given), "ISRD_INSTANCE") ??
    found(env["KUBERNETES_SERVICE_HOST"] ? numberOf(hostname, "-") : undefined, "StatefulSet") ??
    found(whole(env["CF_INSTANCE_INDEX"]), "CF_INSTANCE_INDEX") ??
    found(whole(env["NODE_APP_INSTANCE"]), "NODE_APP_INSTANCE") ?? { ordinal: undefined, instance, source: "" }
  );
}

function whole(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^\d{1,9}$/.test(trimmed) ? Number(trimmed) : undefined;
}

/**
 * The number at the end of a name, such as 2 of `web-2`; with `before`, only if that is somewhere before it. A pod's host
 * name has no dot, a node's may have one.
 */
function numberOf(name: string | undefined, before = ""): number | undefined {
  const digits = NUMBERED.exec(name ?? "")?.[1];
  return digits === undefined || !name?.includes(before) ? undefined : Number(digits);
}
