/** What a refused call says: an RFC 9457 problem document. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: string
  request_id: string
  /** With `validation_failed`: what is wrong with which member. */
  errors?: { field: string; message: string }[]
  /** With `tenant_required`: the tenants to choose from. */
  tenants?: { id: string; name: string }[]
}

/** A call was refused. `code` is one of Jeton's codes, such as `invalid_credentials`. */
export class JetonError extends Error {
  constructor(status: number, problem?: Partial<Problem>)
  readonly status: number
  readonly code?: string
  readonly problem: Partial<Problem>
}

export interface Options {
  /** Where Jeton is: `https://auth.example.com`. The page's origin must be in its `server.allowed_origins`. */
  url: string
  /** The origins that get the token besides Jeton: `['https://api.example.com']`. No other ever does. */
  apis?: string[]
  /**
   * Whether the refresh token is kept in a cookie that no script reads: the default, for pages of Jeton's own site. With `false`
   * it is in memory, each tab is a session of its own, and a reload signs out: for pages of another site.
   */
  cookie?: boolean
}

/** Who is signed in. */
export interface Session {
  tenantId: string
  /** What the access token may do, separated by spaces. */
  scope: string
  /** When the access token ends, in milliseconds since the epoch; it is renewed before. */
  expiresAt: number
}

export interface Credentials {
  email: string
  password: string
  /** Needed by people of several tenants: the error `tenant_required` lists them in `problem.tenants`. */
  tenantId?: string
}

export interface Client {
  /** Who is signed in; null where nobody is. */
  readonly session: Session | null
  /**
   * Calls `hear` when somebody has signed in or out, or somebody else instead, in this tab or another one: each login is a new
   * session, that of the same person too. Returns what ends that.
   */
  onChange(hear: (session: Session | null) => void): () => void
  /** Signs in, once a logout under way is over. Throws `JetonError`; `AbortError` where a login or logout came after it. */
  login(credentials: Credentials): Promise<Session>
  /** Signs in again after a reload, by the cookie; null where there is no session. Throws while Jeton cannot be reached. */
  restore(): Promise<Session | null>
  /**
   * The access token, renewed where it is about to end, and used to its end while Jeton cannot be reached. Throws where nobody is
   * signed in, or somebody else by now.
   */
  token(): Promise<string>
  /**
   * `fetch` with the access token. An answer of 401 renews the token and tries once more, but never as somebody else: where the
   * session is over or another one, it is the answer. Throws for origins not in `apis`.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>
  /**
   * Signs out, in all tabs, at once: no answer under way undoes it. Throws where Jeton did not hear of it: then the cookie is
   * still there.
   */
  logout(): Promise<void>
}

export function createClient(options: Options): Client
