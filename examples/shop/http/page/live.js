// Rows as they are on the server. One WebSocket; when it breaks, the next one goes on from the last tokens.

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 4000

export class Live {
  #watched = new Map()
  #authorization
  #tell
  #socket = null
  #pause = FIRST_PAUSE_MS
  #timer

  /** `tell` gets the state of the connection: connecting, live, off, or login, which needs a call of `login`. */
  constructor(authorization, tell) {
    this.#authorization = authorization
    this.#tell = tell
    addEventListener('online', () => this.#soon(0))
  }

  /** Call `show` with all rows by key, now and after every change. Call it before `connect`. */
  watch(projection, where, show) {
    this.#watched.set(projection, {where, show, rows: new Map(), next: null, token: null})
  }

  login(authorization) {
    this.#authorization = authorization
    for (const each of this.#watched.values()) Object.assign(each, {rows: new Map(), next: null, token: null})
    this.#pause = FIRST_PAUSE_MS
    this.#leave()
    this.connect()
  }

  connect() {
    clearTimeout(this.#timer)
    if (this.#socket) return
    const socket = this.#socket = new WebSocket(new URL('/live', location.href.replace(/^http/, 'ws')))
    socket.onopen = () => this.#subscribe(socket)
    socket.onmessage = ({data}) => socket === this.#socket && this.#take(JSON.parse(data))
    socket.onclose = () => {
      if (socket !== this.#socket) return
      this.#leave()
      this.#tell('off')
      this.#soon(this.#pause)
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS)
    }
  }

  #subscribe(socket) {
    let authorization = this.#authorization ? {authorization: this.#authorization} : {}
    for (const [projection, watched] of this.#watched) {
      watched.next = null // half a snapshot of the connection before: `token` stands for the rows that are shown
      const {where, token} = watched
      const message = {id: projection, subscribe: projection, where, after: token, ...authorization}
      socket.send(JSON.stringify(message))
      authorization = {} // in the first message only
    }
  }

  #take({id, snapshot, changes, problem, token}) {
    const watched = this.#watched.get(id)
    if (problem) {
      if (problem.status < 500 && watched) watched.token = null
      this.#refused(problem)
      return
    }
    if (snapshot) watched.next = new Map() // perhaps the first page of several: shown once it is whole
    const rows = watched.next ?? watched.rows
    for (const [key, row] of Object.entries((snapshot ?? changes).rows)) {
      if (row === null) rows.delete(key)
      else rows.set(key, row)
    }
    if (token === null) return
    Object.assign(watched, {rows, next: null, token})
    this.#pause = FIRST_PAUSE_MS
    this.#tell('live')
    watched.show(rows)
  }

  #refused({status, detail}) {
    if (status === 401 || status === 403) {
      this.#leave()
      this.#tell('login', detail)
    } else {
      this.#socket.close()
    }
  }

  #leave() {
    const socket = this.#socket
    this.#socket = null
    socket?.close()
    for (const each of this.#watched.values()) each.next = null
  }

  #soon(pause) {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.connect(), pause)
  }
}
