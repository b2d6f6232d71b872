import type { TextKey } from "./text.ts";

/** One numbered step of the quick start. In command, {origin} stands for the server's own address. */
export interface Step {
  readonly title: TextKey;
  readonly detail: TextKey;
  readonly command: string;
}

/** The address shown where JavaScript does not run: where llmhist listens when nothing is configured. */
export const defaultOrigin = "http://127.0.0.1:8080";

/** The mark in a command that the page's own origin replaces. */
export const originMark = "{origin}";

const json = `-H 'Content-Type: application/json'`;
const bearer = `-H "Authorization: Bearer $TOKEN"`;
const account = `'{"email":"me@example.com","password":"a long passphrase of mine"}'`;

/** POST with a JSON body as the signed-in user, laid out over four lines. */
function signedIn(path: string, body: string): string {
  return `curl -sS {origin}${path} \\\n  ${bearer} \\\n  ${json} \\\n  -d '${body}'`;
}

/** The quick start in order. Later steps use the shell variable TOKEN that step three sets. */
export const steps: readonly Step[] = [
  {
    title: "stepAdminTitle",
    detail: "stepAdminDetail",
    command: "llmhist admin create --email you@example.com",
  },
  {
    title: "stepRegisterTitle",
    detail: "stepRegisterDetail",
    command: `curl -sS {origin}/auth/register \\\n  ${json} \\\n  -d ${account}`,
  },
  {
    title: "stepLoginTitle",
    detail: "stepLoginDetail",
    // sed instead of jq: it is on every machine that has a shell.
    command:
      `TOKEN=$(curl -sS {origin}/auth/login \\\n  ${json} \\\n  -d ${account} |\n` +
      `  sed -n 's/.*"accessToken": *"\\([^"]*\\)".*/\\1/p')`,
  },
  {
    title: "stepImageTitle",
    detail: "stepImageDetail",
    command: signedIn("/image/generate", `{"prompt":"cyberpunk cat with neon lights","size":"512x512"}`),
  },
  {
    title: "stepSpeechTitle",
    detail: "stepSpeechDetail",
    command: signedIn("/speech/generate", `{"text":"Every request is history you own.","language":"en"}`),
  },
  {
    title: "stepChatTitle",
    detail: "stepChatDetail",
    command: signedIn("/chat", `{"message":"How do I add a provider?"}`),
  },
  {
    title: "stepUsageTitle",
    detail: "stepUsageDetail",
    command: `curl -sS {origin}/analytics/user/me \\\n  ${bearer}`,
  },
];
