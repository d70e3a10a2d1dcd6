// For NODE_OPTIONS="--import isrd/register": connects a process of Next.js to its daemon when it starts, so that a worker
// that nobody visits is given pages to regenerate.
import { boot } from "./boot.js";

boot();
