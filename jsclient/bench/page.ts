import { appPage } from "../test/support/values.js";

/** A page of the App Router of about this size: two thirds HTML, one third RSC, which `/_full` repeats. */
export function pageOf(bytes: number, currency = "EUR") {
  const line = `<li class="product"><a href="/p/1">Product <!-- -->1</a><span>9,99 ${currency}</span></li>\n`;
  const page = appPage(line.repeat(Math.ceil((bytes * 2) / 3 / line.length)));
  const rsc = Buffer.alloc(Math.ceil(bytes / 3), line);
  page.rscData = rsc;
  page.segmentData?.set("/_full", rsc);
  return page;
}
