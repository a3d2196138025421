package user

import "context"

// pageSize is how many records a scan reads at a time.
const pageSize = 100

// List returns up to limit people (1 to 1000; else 100) whose names sort after
// the name after, in byte order of names. Fewer than limit is the end. after
// may also be the name of a service, or of nobody.
func (d *Directory) List(ctx context.Context, after string, limit int) ([]*User, error) {
	return d.list(ctx, false, after, limit)
}

// Services is List for services.
func (d *Directory) Services(ctx context.Context, after string, limit int) ([]*User, error) {
	return d.list(ctx, true, after, limit)
}

func (d *Directory) list(ctx context.Context, services bool, after string, limit int) ([]*User, error) {
	if limit < 1 || limit > 1000 {
		limit = 100
	}
	if after != "" {
		name, err := NormalizeName(after)
		if err != nil {
			return nil, err
		}
		after = name
	}
	users := make([]*User, 0, min(limit, pageSize))
	err := d.walk(ctx, after, func(u *User, damaged error) (more bool, err error) {
		if damaged != nil {
			return false, damaged
		}
		if u.Service == services {
			users = append(users, u)
		}
		return len(users) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	return users, nil
}

// Any reports whether there is a person at all: services cannot use the portal,
// so a house of services alone still needs its set-up link. A record that cannot
// be read counts as a person's: damage must not bring the set-up link back.
func (d *Directory) Any(ctx context.Context) (found bool, err error) {
	err = d.walk(ctx, "", func(u *User, damaged error) (more bool, err error) {
		found = damaged != nil || !u.Service
		return !found, nil
	})
	return found && err == nil, err
}

// walk has visit called with each record whose name sorts after the normalised
// name after, or with the error of one that cannot be read, until it wants no
// more.
func (d *Directory) walk(ctx context.Context, after string, visit func(u *User, damaged error) (more bool, err error)) error {
	if after != "" {
		after = prefix + after
	}
	for {
		page, err := d.store.Scan(ctx, prefix, after, pageSize)
		if err != nil {
			return err
		}
		for _, e := range page {
			after = e.Key
			if more, err := visit(decode(e.Key, e.Value)); err != nil || !more {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}
