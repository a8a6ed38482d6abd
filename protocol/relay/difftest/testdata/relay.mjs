// Reads what package relay did with texts, one JSON object per line, and prints a line for each that JSON.parse does not
// confirm. The last line says how many of each sort were looked at. Texts are in base64, as they need not be UTF-8.
import { createInterface } from 'node:readline'
import { isDeepStrictEqual } from 'node:util'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const decode = (b64) => utf8.decode(Buffer.from(b64, 'base64'))
const parse = (b64) => {
  try {
    return { value: JSON.parse(decode(b64)) }
  } catch {
    return null
  }
}
const isObject = (v) => typeof v === 'object' && v !== null && !Array.isArray(v)
const own = (o, key) => Object.prototype.hasOwnProperty.call(o, key)
const get = (o, key) => (own(o, key) ? o[key] : undefined)
const serverTypes = ['presence', 'state', 'history', 'gap', 'error']
const isServerType = (s) => serverTypes.includes(s) || s.startsWith('auth:')

// What a property name made of the value would be, where that says nothing by itself.
const asName = (v) => {
  while (Array.isArray(v) && v.length === 1) v = v[0]
  return typeof v === 'string' ? v : ''
}

const kindOf = (type) => {
  if (typeof type !== 'string') return isServerType(asName(type)) ? 'reserved' : 'relay'
  if (type === 'presence' || type === 'state') return type
  if (type === 'auth:refresh') return 'refresh'
  return isServerType(type) ? 'reserved' : 'relay'
}

// Whether a frame is of the right shape; undefined where only its text tells.
const isGood = (o, kind) => {
  const has = (key, ok) => !own(o, key) || ok(o[key])
  switch (kind) {
    case 'presence':
      return has('data', isObject)
    case 'state':
      if (!isObject(get(o, 'patch'))) return false
      if (!own(o, 'ifVersion')) return true
      return Number.isInteger(o.ifVersion) && o.ifVersion >= 0 ? undefined : false
    case 'relay':
      return has('to', (v) => typeof v === 'string') && has('toTag', (v) => typeof v === 'string')
  }
  return true
}

const without = (o, names) => {
  const copy = Object.create(null)
  for (const key of Object.keys(o)) if (!names.includes(key)) Object.defineProperty(copy, key, { value: o[key], enumerable: true })
  return copy
}

const sameText = (s, b64) => !s.isWellFormed() || decode(b64) === s

function checkFrame(c) {
  const read = parse(c.text)
  if (!read || !isObject(read.value)) return c.err === 'not object' ? null : 'JSON.parse has no object'
  if (c.err === 'not object') return 'JSON.parse has an object'
  const o = read.value
  const kind = kindOf(get(o, 'type'))
  const good = isGood(o, kind)
  if (c.err === 'bad frame') return good === true ? `a good frame of kind ${kind}` : null
  if (good === false) return `a bad frame of kind ${kind}`
  if (c.kind !== kind) return `the kind is ${kind}`
  if (own(o, 'ifVersion') && kind === 'state' && Number(c.ifVersion) !== o.ifVersion) return 'the version'
  if (kind === 'presence' || kind === 'state') {
    const data = get(o, kind === 'state' ? 'patch' : 'data')
    if ((data === undefined) !== !c.data) return 'whether there is data'
    if (data !== undefined && !isDeepStrictEqual(parse(c.data).value, data)) return 'the data'
  }
  if (kind !== 'relay') return c.relayed === '' ? null : 'it was relayed'
  if (own(o, 'to') !== c.hasTo || own(o, 'toTag') !== c.hasToTag) return 'whether it is addressed'
  if (c.hasTo && !sameText(o.to, c.to) || c.hasToTag && !sameText(o.toTag, c.toTag)) return 'whom it is addressed to'
  return checkRelayed(c, o)
}

function checkRelayed(c, o) {
  const read = parse(c.relayed)
  if (!read || !isObject(read.value)) return 'what was relayed is no object'
  const r = read.value
  if (isServerType(String(asName(r.type)))) return 'what was relayed reads as of the server'
  const stamp = { from: c.stamp.from }
  if (c.stamp.userId) stamp.userId = c.stamp.userId
  const names = ['from', 'userId']
  if (c.stamp.offset !== undefined) {
    stamp.offset = c.stamp.offset
    names.push('offset')
  }
  for (const name of names) if (!isDeepStrictEqual(get(r, name), stamp[name])) return `the stamp: ${name}`
  if (!isDeepStrictEqual(without(r, names), without(o, names))) return 'the other members'
  if (!isDeepStrictEqual(Object.keys(without(r, names)), Object.keys(without(o, names)))) return 'the order of members'
  return null
}

// RFC 7386, section 2, over objects that have nothing but what was put in.
function mergePatch(target, patch) {
  if (!isObject(patch)) return patch
  const result = Object.create(null)
  const put = (key, value) => Object.defineProperty(result, key, { value, enumerable: true, configurable: true, writable: true })
  if (isObject(target)) for (const key of Object.keys(target)) put(key, target[key])
  for (const key of Object.keys(patch)) {
    if (patch[key] === null) delete result[key]
    else put(key, mergePatch(get(result, key), patch[key]))
  }
  return result
}

// bare gives all objects in a value the prototype null, so that only what is in them is compared.
function bare(value) {
  if (Array.isArray(value)) return value.map(bare)
  if (!isObject(value)) return value
  const result = Object.create(null)
  for (const key of Object.keys(value)) Object.defineProperty(result, key, { value: bare(value[key]), enumerable: true })
  return result
}

function checkMerge(c) {
  const target = c.target === '' ? { value: undefined } : parse(c.target)
  const patch = parse(c.patch)
  if (!target || !patch) return c.err === 'not json' ? null : 'JSON.parse refuses'
  if (c.err) return `JSON.parse accepts, but ${c.err}`
  const result = parse(c.result)
  if (!result) return 'the result is no JSON'
  return isDeepStrictEqual(bare(result.value), bare(mergePatch(target.value, patch.value))) ? null : 'the result'
}

const counts = {}
for await (const line of createInterface({ input: process.stdin })) {
  const c = JSON.parse(line)
  const sort = c.patch === undefined ? `frame ${c.err || c.kind}` : `merge ${c.err || 'done'}`
  counts[sort] = (counts[sort] ?? 0) + 1
  const wrong = c.patch === undefined ? checkFrame(c) : checkMerge(c)
  if (wrong) {
    const texts = ['text', 'relayed', 'target', 'patch', 'result'].filter((k) => c[k]).map((k) => `${k} ${Buffer.from(c[k], 'base64')}`)
    console.log(`wrong: ${wrong}: ${sort}: ${texts.join('\n  ')}`)
  }
}
console.log(JSON.stringify(counts))
