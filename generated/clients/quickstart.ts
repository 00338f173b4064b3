// A client of the quickstart: it must compile strictly, and it is run against a server.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.js";

type Wealth = components["schemas"]["Wealth"];

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

async function pay(id: string, owner: string, amount: string): Promise<string> {
  const { data, error, response } = await client.POST("/account/{id}/pay", {
    params: { path: { id }, header: { "Idempotency-Key": crypto.randomUUID() } },
    body: { owner, amount },
  });
  if (error !== undefined) {
    switch (error.type) {
      case "rejected":
      case "invalid-input":
        return error.detail;
      // @ts-expect-error: no problem has this type
      case "no-such-problem":
        return "";
      default:
        throw new Error(`${error.status} ${error.title}`);
    }
  }
  for (const event of data.events) {
    const type: "Paid" = event.type;
    const text: string = event.data.amount;
    console.log(`${type} ${text}, version ${data.version.toFixed()}`);
  }
  return response.headers.get("Consistency-Token") ?? "";
}

async function rich(after: string): Promise<Wealth[]> {
  const { data, error } = await client.GET("/wealth", {
    params: { query: { total__ge: "10", order_by: "-total", limit: 10, after } },
  });
  if (error !== undefined) throw new Error(error.detail);
  const cursor: string | null = data.next_cursor;
  if (data.has_more !== (cursor !== null)) throw new Error("more, but no cursor");
  return data.data;
}

export async function misuse(): Promise<void> {
  // @ts-expect-error: a field is missing
  await client.POST("/account/{id}/pay", { params: { path: { id: "giro" } }, body: { owner: "ada" } });
  // @ts-expect-error: no such parameter
  await client.GET("/wealth", { params: { query: { total__near: "10" } } });
  const { data } = await client.GET("/wealth/{owner}", { params: { path: { owner: "ada" } } });
  // @ts-expect-error: a decimal is a string
  const total: number | undefined = data?.total;
  console.log(total);
}

await pay("giro", "ada", "12.50");
const token = await pay("savings", "ada", "30");
const rows = await rich(token);
if (rows.map((row) => `${row.owner} ${row.total}`).join() !== "ada 42.5") throw new Error(JSON.stringify(rows));
if ((await pay("giro", "ada", "-100")) !== "only 12.50 left") throw new Error("more than there is was paid");
