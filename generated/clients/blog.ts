// The blog by clients of GraphQL that others wrote: Apollo Client, urql, and graphql-ws under both.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, cacheExchange, fetchExchange, subscriptionExchange, type OperationResult } from "@urql/core";
import { createClient, type Client as Socket, type Sink } from "graphql-ws";

declare const process: { argv: string[] };

const address = process.argv[2] ?? "";
const content = "Cut the lemons first, and only then look for the sugar.";
const SIGN_UP = gql`mutation($name: String!, $email: String!) { createUser(name: $name, email: $email) { id } }`;
const WRITE = gql`mutation($input: CreatePostInput!) { createPost(input: $input) { id status author { name } } }`;
const PUBLISH = gql`mutation($id: ID!) { publishPost(id: $id) { id status } }`;
const DELETE = gql`mutation($id: ID!) { deletePost(postId: $id) }`;
const USER = gql`query($id: ID!) { user(id: $id) { name postCount posts { title status } } }`;
const PUBLISHED = gql`subscription { postPublished { rows { postId post { title } author { name } } gone snapshot } }`;

type Created = { createUser: { id: string } };
type Written = { createPost: { id: string; status: string; author: { name: string } } };
type Read = { user: { name: string; postCount: number; posts: { title: string; status: string }[] } };
type Row = { postId: string; post: { title: string } | null; author: { name: string } };
type Round = { postPublished: { rows: Row[]; gone: string[]; snapshot: boolean } };

function same(found: unknown, wanted: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${one}, not ${other}`);
}

function present<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("nothing came");
  return value;
}

async function login(email: string): Promise<string> {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${address}/login`, { method: "POST", headers, body: JSON.stringify({ email }) });
  const { token } = (await answer.json()) as { token?: string };
  return token ?? String(answer.status);
}

async function socket(token: string): Promise<Socket> {
  const ws: string = "ws"; // node 20 has no WebSocket of its own
  const { WebSocket: webSocketImpl } = await import(ws);
  const connectionParams = { authorization: `Bearer ${token}` };
  return createClient({ url: `${address.replace("http", "ws")}/graphql`, webSocketImpl, connectionParams });
}

const bearer = (token: string): Record<string, string> => (token === "" ? {} : { Authorization: `Bearer ${token}` });

class Heard<T> {
  // what a subscription says, one message after the other
  private readonly said: T[] = [];
  private readonly waiting: ((one: T) => void)[] = [];
  add(one: T): void {
    const waiting = this.waiting.shift();
    if (waiting === undefined) this.said.push(one);
    else waiting(one);
  }
  next(): Promise<T> {
    const one = this.said.shift();
    return one === undefined ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve(one);
  }
}

// ---- Apollo Client

function apollo(token: string, socket?: Socket): ApolloClient {
  const http = new HttpLink({ uri: `${address}/graphql`, headers: bearer(token) });
  if (socket === undefined) return new ApolloClient({ cache: new InMemoryCache(), link: http });
  const isLive = ({ operationType }: ApolloLink.Operation): boolean => String(operationType) === "subscription";
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(isLive, new GraphQLWsLink(socket), http),
  });
}

async function refusedBy(sending: Promise<unknown>): Promise<unknown[]> {
  const error: unknown = await sending.catch((error: unknown) => error);
  if (!CombinedGraphQLErrors.is(error)) throw new Error(`not refused: ${String(error)}`);
  return error.errors.map((one) => [one.extensions?.["code"], one.message]);
}

async function byApollo(): Promise<void> {
  const stranger = apollo("");
  const lou = { name: "Lou", email: "lou@example.org" };
  const made = present((await stranger.mutate<Created>({ mutation: SIGN_UP, variables: lou })).data).createUser;
  same(await refusedBy(stranger.mutate({ mutation: SIGN_UP, variables: lou })), [
    ["DUPLICATE_EMAIL", "Email already in use"],
  ]);
  const token = await login(lou.email);
  const live = await socket(token);
  const client = apollo(token, live);
  const heard = new Heard<Round>();
  const subscription = client.subscribe<Round>({ query: PUBLISHED }).subscribe(({ data }) => heard.add(present(data)));
  same((await heard.next()).postPublished.snapshot, true);
  const input = { title: "Lemons", content };
  const post = present((await client.mutate<Written>({ mutation: WRITE, variables: { input } })).data).createPost;
  same([post.status, post.author.name], ["draft", "Lou"]);
  await client.mutate({ mutation: PUBLISH, variables: { id: post.id } });
  same((await heard.next()).postPublished.rows.map((row) => [row.postId, row.post?.title, row.author.name]), [
    [post.id, "Lemons", "Lou"],
  ]);
  const { data } = await client.query<Read>({ query: USER, variables: { id: made.id } });
  same([present(data).user.postCount, present(data).user.posts[0]?.status], [1, "published"]);
  same(await refusedBy(stranger.mutate({ mutation: DELETE, variables: { id: post.id } })), [
    ["AUTH_REQUIRED", "Authentication required"],
  ]);
  subscription.unsubscribe();
  await live.dispose();
}

// ---- urql

function urql(token: string, socket: Socket): Client {
  const live = subscriptionExchange({
    forwardSubscription: ({ query, variables }) => ({
      subscribe: (sink) => ({
        unsubscribe: socket.subscribe({ query: query ?? "", variables: variables as Record<string, unknown> }, sink as Sink),
      }),
    }),
  });
  const exchanges = [cacheExchange, fetchExchange, live];
  return new Client({ url: `${address}/graphql`, exchanges, fetchOptions: { headers: bearer(token) } });
}

function code(result: OperationResult): unknown {
  return result.error?.graphQLErrors[0]?.extensions["code"];
}

async function byUrql(): Promise<void> {
  const kim = { name: "Kim", email: "kim@example.org" };
  const live = await socket("");
  same((await urql("", live).mutation<Created>(SIGN_UP, kim)).error, undefined);
  const client = urql(await login(kim.email), live);
  const heard = new Heard<Round>();
  const { unsubscribe } = client.subscription<Round>(PUBLISHED, {}).subscribe(({ data }) => heard.add(present(data)));
  const [first] = (await heard.next()).postPublished.rows;
  const wrong = await client.mutation(WRITE, { input: { title: "Le", content } });
  same([code(wrong), wrong.error?.graphQLErrors[0]?.message], ["VALIDATION", "Title must be at least 3 characters"]);
  const written = await client.mutation<Written>(WRITE, { input: { title: "Limes", content, tags: ["fruit"] } });
  const { id } = present(written.data).createPost;
  same((await client.mutation(PUBLISH, { id })).error, undefined);
  same((await heard.next()).postPublished.rows[0]?.post?.title, "Limes");
  same(code(await client.mutation(DELETE, { id: present(first).postId })), "FORBIDDEN");
  same((await client.mutation(DELETE, { id })).data, { deletePost: true });
  same((await heard.next()).postPublished.gone, [id]);
  unsubscribe();
  await live.dispose();
}

// ---- graphql-ws

async function byItself(): Promise<void> {
  same(await login("nobody@example.org"), "401");
  const live = await socket(await login("kim@example.org"));
  const published = "subscription($id: ID) { postPublished(authorId: $id) { rows { postId } snapshot } }";
  const variables = { id: crypto.randomUUID() };
  for await (const { data } of live.iterate<Round>({ query: published, variables })) {
    same([data?.postPublished.rows, data?.postPublished.snapshot], [[], true]);
    break;
  }
  await live.dispose();
}

await byApollo();
await byUrql();
await byItself();
