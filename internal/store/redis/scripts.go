package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	goredis "github.com/redis/go-redis/v9"
)

// The scripts that change a key get its value, index and expiry as KEYS, and as
// ARGV the channel, the key, and what they need. The notice is published first:
// where that is forbidden the script ends before it has changed anything. Nobody
// hears of it before the whole script is done. Each change also clears away a
// few that have expired, a second after their time so that the clocks of a
// script and of expiry need not agree to the millisecond.
const changing = `
local function publish() redis.call('PUBLISH', ARGV[1], ARGV[2]) end
local function forget()
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('ZREM', KEYS[3], ARGV[2])
end
local function set(value, ttl)
  publish()
  local t = redis.call('TIME')
  local ms = t[1] * 1000 + math.floor(t[2] / 1000)
  local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ms - 1000, 'LIMIT', 0, 4)
  if #dead > 0 then
    redis.call('ZREM', KEYS[2], unpack(dead))
    redis.call('ZREM', KEYS[3], unpack(dead))
  end
  redis.call('ZADD', KEYS[2], 0, ARGV[2])
  if ttl == '0' then
    redis.call('SET', KEYS[1], value)
    redis.call('ZREM', KEYS[3], ARGV[2])
  else
    redis.call('SET', KEYS[1], value, 'PX', ttl)
    redis.call('ZADD', KEYS[3], ms + ttl, ARGV[2])
  end
  return 1
end
`

var (
	putScript = newScript(changing + `
return set(ARGV[3], ARGV[4])`)

	createScript = newScript(changing + `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
return set(ARGV[3], ARGV[4])`)

	swapScript = newScript(changing + `
if redis.call('GET', KEYS[1]) ~= ARGV[5] then return 0 end
return set(ARGV[3], ARGV[4])`)

	takeScript = newScript(changing + `
local value = redis.call('GET', KEYS[1])
if not value then return false end
publish()
redis.call('DEL', KEYS[1])
forget()
return value`)

	deleteScript = newScript(changing + `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
publish()
redis.call('DEL', KEYS[1])
forget()
return 1`)

	// The same arithmetic as store.Rate. All numbers stay below 2^53.
	chargeScript = newScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local every, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local back = tonumber(redis.call('GET', KEYS[1]) or '0')
local ahead = math.max(0, math.min(back - now, window))
local after = math.max(0, ahead + cost * every)
local allowed = 1
if cost == 0 then
  after = ahead
  if ahead + every > window then allowed = 0 end
elseif cost > 0 and after > window then
  after = ahead
  allowed = 0
elseif after == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', string.format('%.0f', math.ceil(after / 1000)))
end
return {allowed, string.format('%.0f', after)}`)
)

// What scans and counts send in pipelines is sent whole: a pipeline has no way
// to send again what the server had forgotten.
const (
	// readScript gets index, expiry and then values as KEYS, the keys as ARGV,
	// and returns value and remaining ms of each. It drops what is gone from the
	// index.
	readScript = `
local out = {}
for i = 3, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if not value then
    redis.call('ZREM', KEYS[1], ARGV[i - 2])
    redis.call('ZREM', KEYS[2], ARGV[i - 2])
  end
  out[#out + 1] = value
  out[#out + 1] = redis.call('PTTL', KEYS[i])
end
return out`

	// countScript gets index and expiry as KEYS, and clears away, too.
	countScript = `
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms - 1000, 'LIMIT', 0, 200)
if #dead > 0 then
  redis.call('ZREM', KEYS[1], unpack(dead))
  redis.call('ZREM', KEYS[2], unpack(dead))
end
return redis.call('ZCARD', KEYS[1]) - redis.call('ZCOUNT', KEYS[2], '-inf', ms)`
)

// once is a command that the driver sends a single time, whatever goes wrong
// after that. (It is still sent on to the node that a Cluster names instead, and
// after an answer that says it was not done.)
type once struct{ *goredis.Cmd }

func (once) NoRetry() bool { return true }

// script is the text of a script and the hash by which a server remembers it.
type script struct{ text, hash string }

func newScript(text string) script {
	h := sha1.Sum([]byte(text)) // Redis' own choice; nothing rests on its strength
	return script{text, hex.EncodeToString(h[:])}
}

// run runs a script once, by its hash or, if the server does not know it yet, by
// its text.
func (s *Store) run(ctx context.Context, sc script, keys []string, args ...any) (any, error) {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", sc.hash, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	all = append(all, args...)
	cmd := once{goredis.NewCmd(ctx, all...)}
	err := s.client.Process(ctx, cmd)
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		all[0], all[1] = "eval", sc.text
		cmd = once{goredis.NewCmd(ctx, all...)}
		err = s.client.Process(ctx, cmd)
	}
	if err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}
