/** On-demand revalidation of one path, as the Pages Router has it. */
export default async function handler(request, response) {
  await response.revalidate(request.query.path);
  response.json({ path: request.query.path });
}
