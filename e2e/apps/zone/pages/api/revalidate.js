/** On-demand revalidation of one path, without the basePath. */
export default async function handler(request, response) {
  await response.revalidate(`/zone${request.query.path}`);
  response.json({ path: request.query.path });
}
