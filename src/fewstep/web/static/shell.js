// What all pages share: asking the server, and saying things aloud.

/** The answer of the server to one request, as JSON; `options` as of fetch, and `json`: a value to send.
 *  Throws an Error with the server's own sentence where it refuses, or with ours where it does not answer. */
export async function api(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options = { method: "POST", ...options, body: JSON.stringify(json) };
    options.headers = { "content-type": "application/json", ...options.headers };
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer: is `fewstep play` still running?");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the server answered ${response.status}`);
  }
  return response.json();
}

/** Says a sentence to those who hear the page instead of seeing it. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}

/** An element: `make("button", { type: "button", class: "quiet" }, "Clear")`; null children are left out. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child != null));
  return element;
}
