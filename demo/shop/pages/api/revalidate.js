/**
 * The same webhook for pages of the Pages Router, whose own means is `res.revalidate`: `{ paths: string[] }`. It answers
 * once the pages have been regenerated.
 */
export default async function handler(request, response) {
  if (request.headers.authorization !== `Bearer ${process.env.SHOP_WEBHOOK_SECRET}`) {
    return response.status(401).json({ error: "the secret is wrong" });
  }
  const { paths = [] } = request.body;
  await Promise.all(paths.map((path) => response.revalidate(path)));
  return response.json({ paths });
}
