// Requests to the server; a refusal becomes an Error with the server's sentence.

async function answered(response) {
  if (response.ok) return response.json();
  let sentence = `the server answered ${response.status}`;
  try {
    sentence = (await response.json()).detail || sentence;
  } catch {
    // no JSON: the status has to do
  }
  const error = new Error(sentence);
  error.status = response.status;
  throw error;
}

export async function get(path) {
  return answered(await fetch(path));
}

export async function send(path, value, method = "POST") {
  const headers = { "content-type": "application/json" };
  return answered(await fetch(path, { method, headers, body: JSON.stringify(value) }));
}

// A file; where too many wait already, it tries again.
export async function upload(file) {
  for (;;) {
    const form = new FormData();
    form.append("image", file, file.name);
    try {
      return await answered(await fetch("/api/pictures", { method: "POST", body: form }));
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}
