// The running llmhist, as an SDK's reader would be told about it. The tests are
// started by TestTheSDKsOfNode, which serves a provider of its own behind it.
export const baseURL = `${process.env.LLMHIST_URL}/v1`;
export const apiKey = process.env.LLMHIST_KEY;

/** Asks llmhist itself. */
export async function ask(path) {
  const response = await fetch(process.env.LLMHIST_URL + path, { headers: { Authorization: `Bearer ${apiKey}` } });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}
