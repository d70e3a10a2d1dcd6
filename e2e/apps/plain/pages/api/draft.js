/** Turns draft mode on for who asks. */
export default function handler(_request, response) {
  response.setDraftMode({ enable: true });
  response.json({});
}
