// Shows the orders of the last days as they change, and places new ones. What comes from the server is only ever text.

import {Live} from './live.js'

const DAYS = 7
const MOST_SHOWN = 100
const MOST_TRIES = 12
const STATES = {
  connecting: 'Connecting …',
  live: 'Live',
  off: 'Connection lost, trying again …',
  login: 'Log in to see orders',
}

const $ = id => document.getElementById(id)
const money = new Intl.NumberFormat(undefined, {minimumFractionDigits: 2, maximumFractionDigits: 4})
const today = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit'})
const earlier = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'})

let login = sessionStorage.getItem('login') ?? ''
let unanswered = {} // the order that got no answer, with its key: sent again, it is still placed once
let products = null // by id, once they are known
let orders = null // by id, as they are on the server
const placed = new Map() // orders of this page, until they are among those

// ---- orders ----------------------------------------

const shown = new Map() // the element of an order by its id

function showOrders() {
  for (const id of orders?.keys() ?? []) placed.delete(id)
  const all = [...(orders?.values() ?? []), ...placed.values()]
  all.sort((one, other) => (other.createdAt ?? '').localeCompare(one.createdAt ?? '') || (one.orderId < other.orderId ? -1 : 1))
  const list = $('orders'), visible = all.slice(0, MOST_SHOWN), isFirst = !shown.size
  visible.forEach((order, place) => {
    const element = shown.get(order.orderId) ?? begin(order.orderId, !isFirst)
    fill(element, order)
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null)
  })
  for (const element of [...list.children].slice(visible.length)) {
    shown.delete(element.dataset.id)
    element.remove()
  }
  const older = all.length - visible.length
  text($('older'), `and ${older} older`)
  $('older').hidden = !older
  text($('count'), all.length ? String(all.length) : '')
  $('empty').hidden = !orders || all.length > 0
}

function begin(id, isFresh) {
  const element = $('row').content.firstElementChild.cloneNode(true)
  element.dataset.id = id
  element.classList.toggle('fresh', isFresh)
  shown.set(id, element)
  return element
}

function fill(element, order) {
  const part = name => element.querySelector(name)
  element.dataset.status = order.status
  element.classList.toggle('sent', placed.has(order.orderId))
  text(part('.customer'), order.customerName ?? order.customerId ?? 'Unknown customer')
  text(part('.pill'), order.statusDisplay)
  text(part('.total'), money.format(order.totalAmount))
  text(part('.items'), order.items.map(item => `${item.quantity} × ${item.productName}`).join(', ') || 'Nothing yet')
  const more = [order.cancellationReason, order.trackingNumber && `Tracking ${order.trackingNumber}`, order.shippingSummary]
  text(part('.more'), [...more, order.orderId].filter(Boolean).join(' · '))
  if (order.createdAt) {
    const date = new Date(order.createdAt), isToday = date.toDateString() === new Date().toDateString()
    text(part('time'), (isToday ? today : earlier).format(date))
    part('time').dateTime = order.createdAt
  }
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value
}

// ---- the form ----------------------------------------

function addLine() {
  const line = $('line').content.firstElementChild.cloneNode(true)
  line.querySelector('.remove').onclick = () => {
    line.remove()
    showSum()
  }
  line.oninput = showSum
  $('lines').append(line)
  showProducts()
}

const lines = () => [...$('lines').children].map(line => ({
  productId: line.querySelector('select').value,
  quantity: line.querySelector('input').value === '' ? null : Number(line.querySelector('input').value),
}))

function showProducts() {
  if (!products) return
  const known = [...products.values()].sort((one, other) => one.name.localeCompare(other.name))
  for (const select of $('lines').querySelectorAll('select')) {
    const ids = known.map(product => product.productId), before = select.value
    if ([...select.options].map(option => option.value).join('\n') !== ids.join('\n')) {
      select.replaceChildren(...ids.map(id => new Option('', id)))
      if (products.has(before)) select.value = before
    }
    known.forEach(({name, availableQuantity}, place) => {
      text(select.options[place], availableQuantity > 0 ? name : `${name} (sold out)`)
    })
    if (!known.length) select.replaceChildren(new Option('No products yet', ''))
    select.disabled = !known.length
  }
  $('samples').hidden = known.length > 0
  $('place').disabled = !known.length
  showSum()
}

function showSum() {
  for (const line of $('lines').children) {
    const product = products?.get(line.querySelector('select').value)
    text(line.querySelector('.hint'), product ? `${money.format(product.price)} each · ${left(product)}` : '')
  }
  text($('sum'), products?.size ? money.format(amount(lines())) : '')
}

const left = ({availableQuantity}) => availableQuantity > 0 ? `${availableQuantity} left` : 'sold out'

const amount = items => items.reduce((sum, {productId, quantity}) => sum + (products.get(productId)?.price ?? 0) * quantity, 0)

$('more').onclick = addLine

$('order').onsubmit = async event => {
  event.preventDefault()
  const form = $('order'), items = lines()
  const body = {items, shippingAddress: form.elements.address.value}
  if (!login) body.customerId = form.elements.customer.value
  clearErrors(form)
  busy(true)
  const sent = JSON.stringify(body)
  if (unanswered.sent !== sent) unanswered = {sent, key: newKey()}
  const answer = await send('POST', '/orders', body, {'Idempotency-Key': unanswered.key})
  busy(false)
  if (answer) unanswered = {}
  if (!answer?.ok) return explain(form, await problemOf(answer))
  const {orderId, status} = await answer.json()
  const named = items.map(item => ({...item, productName: products.get(item.productId)?.name ?? item.productId}))
  placed.set(orderId, {
    orderId,
    status,
    statusDisplay: status[0].toUpperCase() + status.slice(1),
    customerName: body.customerId ?? owner(),
    items: named,
    totalAmount: amount(items),
    createdAt: new Date().toISOString(),
  })
  showOrders() // at once, from the answer
  $('lines').replaceChildren()
  addLine()
  await read(orderId, answer.headers.get('Consistency-Token'))
}

/** Read an order with the token of the answer that placed it: at least as new as that. */
async function read(orderId, token) {
  const answer = await send('GET', `/orders/${encodeURIComponent(orderId)}`, null, {'Consistency-Token': token})
  if (answer?.ok && placed.has(orderId)) { // what is live is at least as new
    placed.set(orderId, await answer.json())
    showOrders()
  }
}

const newKey = () => [...crypto.getRandomValues(new Uint32Array(4))].join('-')

/** Send until there is an answer. A command with a key, and a PUT, is still carried out once. */
async function send(method, path, body, more = {}) {
  const headers = {...more, ...(login ? {Authorization: login} : {})}
  if (body) headers['Content-Type'] = 'application/json'
  const asked = {method, headers, body: body && JSON.stringify(body)}
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, asked).catch(() => null)
    if ((answer && answer.status !== 503) || tries === MOST_TRIES) return answer
    await new Promise(done => setTimeout(done, Math.min(250 * 2 ** tries, 3000)))
  }
}

async function problemOf(answer) {
  if (!answer) return {detail: 'The shop cannot be reached. Nothing is lost here: try again in a moment.'}
  return await answer.json().catch(() => ({detail: `The shop returned ${answer.status}.`}))
}

/** Say what is wrong where it is wrong, in the words of the server. */
function explain(form, problem) {
  if (problem.status === 401) return showLogin('The login has ended')
  const elsewhere = []
  for (const {field, message} of problem.errors ?? []) {
    const at = visibleField(form, field)
    if (!at) {
      elsewhere.push(message)
      continue
    }
    text(at.querySelector('.error'), message)
    at.querySelector('input, select, textarea').setAttribute('aria-invalid', 'true')
  }
  text($('problem'), problem.errors ? elsewhere.join('. ') : problem.detail)
  form.querySelector('[aria-invalid]')?.focus()
}

function visibleField(form, pointer) {
  const [, of, number, name] = pointer.split('/')
  if (of === 'items') {
    return $('lines').children[number]?.querySelector(name === 'quantity' ? '.quantity' : '.product')
  }
  return [...form.querySelectorAll('[data-field]')].find(field => !field.hidden && field.dataset.field === `/${of}`)
}

function clearErrors(form) {
  for (const error of form.querySelectorAll('.error')) text(error, '')
  for (const input of form.querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid')
}

function busy(is) {
  $('place').disabled = is
  text($('place'), is ? 'Sending …' : 'Place order')
}

$('samples').onclick = async () => {
  const goods = [['tea', 'Tea', 2.5, 100], ['cup', 'Cup', 7.9, 12]]
  const customer = ['PUT', `/customers/${encodeURIComponent(owner() || 'ann')}`, {name: 'Ann', email: 'ann@example.com'}]
  const asked = goods.flatMap(([id, name, price, quantity]) => [
    ['PUT', `/products/${id}`, {name, price}],
    ['POST', `/inventory/products/${id}/receipts`, {quantity}, {'Idempotency-Key': `first-${id}`}],
  ])
  for (const each of [customer, ...asked]) { // products come last: with them, an order can be placed
    const answer = await send(...each)
    if (!answer?.ok) return text($('empty-text'), (await problemOf(answer)).detail)
  }
}

// ---- the login ----------------------------------------

/** Whose login it is. The server checks it; this is only shown. */
function owner() {
  try {
    return JSON.parse(atob(login.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'))).sub
  } catch {
    return ''
  }
}

function showLogin(why) {
  const form = $('login')
  form.hidden = false
  $('order').hidden = $('list').hidden = true
  text(form.querySelector('.error'), login ? why : '')
  orders = null
  placed.clear()
  setLogin('')
  showOrders()
}

function setLogin(value) {
  login = value
  sessionStorage.setItem('login', value)
  document.querySelector('[data-field="/customerId"]').hidden = Boolean(value)
  $('logout').hidden = !value
  text($('entry-title'), value ? `Place an order as ${owner() || 'yourself'}` : 'Place an order')
}

$('login').onsubmit = event => {
  event.preventDefault()
  const sent = $('login').elements.token.value.trim().replace(/^Bearer /i, '')
  $('login').elements.token.value = ''
  if (!sent) return
  setLogin(`Bearer ${sent}`)
  live.login(login)
}

$('logout').onclick = () => {
  setLogin('')
  live.login('')
}

// ---- live ----------------------------------------

const live = new Live(login, (state, detail) => {
  $('connection').dataset.state = state
  text($('connection').querySelector('span'), STATES[state])
  if (state === 'login') showLogin(detail)
})
const since = new Date(Date.now() - DAYS * 24 * 3600 * 1000).toISOString()
live.watch('order_view', {createdSince: since}, rows => {
  orders = rows
  $('login').hidden = true
  $('order').hidden = $('list').hidden = false
  showOrders()
})
live.watch('product_view', {}, rows => {
  products = rows
  showProducts()
})
setLogin(login)
addLine()
live.connect()
