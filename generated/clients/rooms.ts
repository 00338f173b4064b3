// A client of the rooms: camelCase, numbers, enums, unions, null, a key of three fields, a login.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.js";

type Booking = components["schemas"]["Booking"];
type Size = components["schemas"]["Size"];

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "", headers: { Authorization: "Bearer ada" } });

async function book(room: string, size: Size): Promise<[string, string]> {
  const { data, error, response } = await client.POST("/bookings", {
    // What has a default may be left out.
    body: {
      room,
      on: "2026-03-01",
      hours: 2,
      size,
      price: 12.5,
      paidBy: { kind: "card", lastDigits: "4242" },
      guests: [{ name: "Grace" }],
    },
  });
  if (error !== undefined) throw new Error(`${error.type}: ${error.detail}`);
  for (const event of data.events) {
    switch (event.type) {
      case "Booked": {
        const by = event.data.paidBy;
        const paid: string = by.kind === "card" ? by.lastDigits : (by.dueOn ?? by.iban);
        console.log(`${event.data.room} paid by ${paid}`);
        break;
      }
      case "Ended": {
        const why: "cancelled" | "expired" = event.data.why;
        console.log(why);
        break;
      }
      // @ts-expect-error: there is no such event
      case "Lost":
        break;
    }
  }
  return [data.id, response.headers.get("Consistency-Token") ?? ""];
}

async function booking(id: string, token: string): Promise<Booking> {
  const { data, error } = await client.GET("/bookings/{id}", {
    params: { path: { id }, header: { "Consistency-Token": token } },
  });
  if (error !== undefined) throw new Error(error.detail);
  const title: string | null = data.title;
  const names: string[] = data.guests.map((guest) => (guest.ofAge ? guest.name : ""));
  const total: number = Number(data.price) + data.share;
  console.log(title, names, total, data.discount, data.extras["chairs"] ?? 0);
  return data;
}

export async function misuse(): Promise<void> {
  // @ts-expect-error: no such size
  await book("blue", "huge");
  const { data } = await client.GET("/users/{owner}/rooms/{room}/days/{on}", {
    params: { path: { owner: "ada", room: "blue", on: "2026-03-01" } },
  });
  // @ts-expect-error: no such field
  console.log(data?.total_price);
  // @ts-expect-error: the path needs all fields of the key
  await client.GET("/users/{owner}/rooms/{room}/days/{on}", { params: { path: { owner: "ada" } } });
  const { data: made } = await client.PUT("/bookings/{id}", {
    params: { path: { id: "mine" } },
    body: { room: "red", on: "2026-03-02", hours: 1, size: "large", price: "3", paidBy: { kind: "transfer", iban: "GB1" } },
  });
  const reference: string | null | undefined = made?.reference;
  console.log(reference);
}

const [id, token] = await book("blue", "small");
const made = await booking(id, token);
if (made.owner !== "ada" || made.size !== "small" || made.paidBy?.kind !== "card") throw new Error(JSON.stringify(made));
const days = await client.GET("/users/{owner}/days", {
  params: { path: { owner: "ada" }, query: { taken__ge: 10, room: "blue", after: token, orderBy: "-on" } },
});
if (days.data?.data[0]?.bookings !== 1) throw new Error(JSON.stringify(days.data ?? days.error));
const foreign = await client.GET("/users/{owner}/days", { params: { path: { owner: "bob" } } });
if (foreign.error?.type !== "forbidden") throw new Error(JSON.stringify(foreign.data));
