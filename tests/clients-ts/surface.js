// What the packages offer, and which of it really ran: the engine's own call
// counts, so nothing of a client is wrapped or changed.
//
//   exports ─▶ classes, methods, functions ─ [[FunctionLocation]] ─▶ range ─ count
//
// A class counts when its constructor ran, if it has one of its own.
import { Session } from 'node:inspector'

const session = new Session()
session.connect()

function ask(method, parameters = {}) {
  let answer
  session.post(method, parameters, (error, said) => {
    if (error) throw new Error(`${method}: ${error.message}`)
    answer = said
  })
  return answer
}

const ran = new Map()

function count() {
  ask('Profiler.enable')
  ask('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
}

/** Adds what ran since the last time; the engine starts anew with every call. */
function gather() {
  for (const { scriptId, functions } of ask('Profiler.takePreciseCoverage').result) {
    const known = ran.get(scriptId) ?? new Map()
    ran.set(scriptId, known)
    for (const { ranges: [{ startOffset, endOffset, count }] } of functions) {
      const before = known.get(startOffset)?.count ?? 0
      known.set(startOffset, { startOffset, endOffset, count: before + count })
    }
  }
}

/** Runs `act` without counting, which makes long computations several times slower. */
export async function uncounted(act) {
  gather()
  ask('Profiler.stopPreciseCoverage')
  try {
    return await act()
  } finally {
    count()
  }
}

count()

/** The packages that the suite is about. */
export const PACKAGES = [
  'account', 'avalanche', 'base', 'client', 'core', 'cosmos', 'ethereum', 'evm', 'message', 'nuls2', 'solana',
  'substrate', 'superfluid', 'tezos',
]

const instances = new Map()

/** Notes an object whose methods are its own, not those of its class. */
export function remember(name, instance) {
  instances.set(name, instance)
}

const isClass = (value) => /^class\b/.test(Function.prototype.toString.call(value))

function lineage(prototype) {
  const known = [Object.prototype, Error.prototype, null]
  return known.includes(prototype) ? [] : [prototype, ...lineage(Object.getPrototypeOf(prototype))]
}

function members(name, holder, found) {
  for (const [key, slot] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
    if (key === 'constructor' || key === 'prototype') continue
    for (const one of [slot.value, slot.get, slot.set]) {
      if (typeof one === 'function') found.set(`${name}.${key}`, one)
    }
  }
}

/** Every public function, class and method: name to function; and the names of exported values. */
export async function surface() {
  const functions = new Map()
  const values = []
  for (const one of PACKAGES) {
    const exported = await import(`@aleph-sdk/${one}`)
    for (const [key, value] of Object.entries(exported)) {
      if (key === 'default') continue
      const name = `${one}.${key}`
      if (typeof value !== 'function') {
        values.push(name)
        continue
      }
      functions.set(name, value)
      if (isClass(value)) {
        for (const holder of [value, ...lineage(value.prototype)]) members(name, holder, functions)
      }
    }
  }
  for (const [name, instance] of instances) members(name, instance, functions)
  return { functions, values }
}

/** Which of these functions never ran. */
export function idle(functions) {
  gather()
  ask('Debugger.enable')
  const lines = new Map()
  const never = []
  for (const [name, one] of functions) {
    const place = location(one)
    if (!lines.has(place.scriptId)) {
      const { scriptSource } = ask('Debugger.getScriptSource', { scriptId: place.scriptId })
      lines.set(place.scriptId, starts(scriptSource))
    }
    const offset = lines.get(place.scriptId)[place.lineNumber] + place.columnNumber
    if (isClass(one) && !/\bconstructor\s*\(/.test(String(one))) continue
    const range = innermost(ran.get(place.scriptId) ?? new Map(), offset)
    if (!range?.count) never.push(name)
  }
  ask('Debugger.disable')
  return never
}

function location(one) {
  globalThis.beheld = one
  const { result } = ask('Runtime.evaluate', { expression: 'globalThis.beheld' })
  const { internalProperties } = ask('Runtime.getProperties', { objectId: result.objectId, ownProperties: true })
  return internalProperties.find((property) => property.name === '[[FunctionLocation]]').value.value
}

function starts(source) {
  const found = [0]
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) found.push(at + 1)
  return found
}

function innermost(known, offset) {
  let best
  for (const range of known.values()) {
    const holds = range.startOffset <= offset && offset < range.endOffset
    if (holds && (!best || range.startOffset >= best.startOffset)) best = range
  }
  return best
}

// What the packages call while they are loaded is no test of ours.
await surface()
gather()
ran.clear()
