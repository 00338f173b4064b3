// A client in another language: @azure/cosmos against the development server, with a range that splits while its
// change feed is read. Usage: node client.mjs CONNECTION_STRING; ends with status 0 if everything was as it must be.
import assert from "node:assert/strict";
import { ChangeFeedStartFrom, CosmosClient } from "@azure/cosmos";

const RANGES = 3;
const client = new CosmosClient(process.argv[2]);
const endpoint = /AccountEndpoint=([^;]+)/.exec(process.argv[2])[1];

const { database } = await client.databases.createIfNotExists({ id: "shop" });
const { container } = await database.containers.createIfNotExists({ id: "orders", partitionKey: { paths: ["/key"] } });

async function fails(status, promise) {
  await assert.rejects(promise, (error) => error.code === status);
}

async function points() {
  const { resource: made } = await container.items.create({ id: "1", key: "points", total: 5 });
  await fails(409, container.items.create({ id: "1", key: "points" }));
  const { resource: read } = await container.item("1", "points").read();
  assert.deepEqual(read, made);
  const guarded = { accessCondition: { type: "IfMatch", condition: read._etag } };
  const { resource: replaced } = await container.item("1", "points").replace({ ...read, total: 6 }, guarded);
  assert.notEqual(replaced._etag, read._etag);
  await fails(412, container.item("1", "points").replace({ ...read, total: 7 }, guarded));
  assert.equal((await container.item("none", "points").read()).statusCode, 404);
}

async function batches() {
  const create = (id) => ({ operationType: "Create", resourceBody: { id, key: "batches" } });
  const { result } = await container.items.batch([create("1"), create("2")], "batches");
  assert.deepEqual(result.map((one) => one.statusCode), [201, 201]);
  const refused = await container.items.batch([create("3"), create("2")], "batches");
  assert.deepEqual(refused.result.map((one) => one.statusCode), [424, 409]);
  assert.equal((await container.item("3", "batches").read()).statusCode, 404);
}

async function queries() {
  for (let n = 0; n < 30; n++) await container.items.create({ id: "1", key: `query-${n}`, of: "queries", n });
  const parameters = [{ name: "@n", value: 20 }];
  const ask = async (query, options) => (await container.items.query({ query, parameters }, options).fetchAll()).resources;
  assert.deepEqual(await ask("SELECT VALUE c.n FROM c WHERE c.n <= @n", { partitionKey: "query-7" }), [7]);
  const above = await ask("SELECT VALUE c.n FROM c WHERE c.of = 'queries' AND c.n > @n ORDER BY c.n DESC");
  assert.deepEqual(above, [29, 28, 27, 26, 25, 24, 23, 22, 21]);
  assert.deepEqual(await ask("SELECT VALUE COUNT(1) FROM c WHERE c.of = 'queries' AND c.n > @n"), [9]);
  assert.deepEqual(await ask("SELECT VALUE AVG(c.n) FROM c WHERE c.of = 'queries'"), [14.5]);
  assert.deepEqual(await ask("SELECT VALUE MAX(c.n) FROM c WHERE c.of = 'queries'"), [29]);
}

async function feed() {
  const written = [];
  const write = async (from, to) => {
    for (let n = from; n < to; n++) {
      await container.items.create({ id: `${n}`, key: `feed-${n % 17}`, of: "feed", n });
      written.push(n);
    }
  };
  const seen = [];
  const start = { maxItemCount: 7, changeFeedStartFrom: ChangeFeedStartFrom.Beginning() };
  const changes = container.items.getChangeFeedIterator(start);
  const read = async (pages) => {
    for (let idle = 0; idle <= 2 * RANGES && pages > 0; pages--) {
      const page = await changes.readNext();
      idle = page.statusCode === 304 ? idle + 1 : 0;
      seen.push(...page.result.filter((document) => document.of === "feed"));
    }
  };
  await write(0, 100);
  await read(5);
  const split = await fetch(`${endpoint}_faults`, { method: "POST", body: JSON.stringify({ fault: "split", range: 0 }) });
  assert.equal(split.status, 200);
  await write(100, 160);
  await read(1000);
  assert.deepEqual(seen.map((document) => document.n).sort((a, b) => a - b), written);
  for (let key = 0; key < 17; key++) {
    const ofKey = seen.filter((document) => document.key === `feed-${key}`).map((document) => document.n);
    assert.deepEqual(ofKey, [...ofKey].sort((a, b) => a - b), "order within a partition key");
  }
}

for (const part of [points, batches, queries, feed]) {
  await part();
  console.log(`${part.name}: as it must be`);
}
