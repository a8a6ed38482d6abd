package materialise

import "strconv"

// maxCommon bounds the table of the search for what two lists have in common, in cells.
const maxCommon = 1 << 20

// match names a piece that is in two lists, by its place in each.
type match struct{ have, want int }

// common returns a longest list of pieces that both lists have in the same order; none when the search would take too long.
func (r *replacer) common(have, want []piece) ([]match, error) {
	n, m := len(have), len(want)
	if n == 0 || m == 0 || n > maxCommon/m {
		return nil, nil
	}
	ids := make(map[string]int32)
	a, err := r.number(ids, have)
	if err != nil {
		return nil, err
	}
	b, err := r.number(ids, want)
	if err != nil {
		return nil, err
	}
	// best[i*(m+1)+j] is how many have[i:] and want[j:] have in common.
	best := make([]int32, (n+1)*(m+1))
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			at := i*(m+1) + j
			if a[i] == b[j] {
				best[at] = best[at+m+2] + 1
			} else {
				best[at] = max(best[at+1], best[at+m+1])
			}
		}
		if err := r.tx.budget.step(); err != nil {
			return nil, err
		}
	}
	var list []match
	for i, j := 0, 0; i < n && j < m; {
		switch at := i*(m+1) + j; {
		case a[i] == b[j]:
			list = append(list, match{i, j})
			i++
			j++
		case best[at+1] >= best[at+m+1]:
			j++
		default:
			i++
		}
	}
	return list, nil
}

// number gives equal pieces equal numbers.
func (r *replacer) number(ids map[string]int32, list []piece) ([]int32, error) {
	numbers := make([]int32, len(list))
	for i, p := range list {
		key := strconv.Itoa(int(p.it.kind)) + " " + strconv.Itoa(len(p.attrs.id)) + " " + p.attrs.id
		if p.it.child == nil {
			key += string(p.body)
		} else {
			s, err := r.sum(p.it.child, 0)
			if err != nil {
				return nil, err
			}
			key += string(s[:])
		}
		if _, ok := ids[key]; !ok {
			ids[key] = int32(len(ids))
		}
		numbers[i] = ids[key]
	}
	return numbers, nil
}
