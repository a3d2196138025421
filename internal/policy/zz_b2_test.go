package policy
import ("testing";"fmt";"github.com/gatehouse-proxy/gatehouse/internal/decision")
func TestYY(t *testing.T){
 all:=map[string]int{}
 distinct:=0
 for seed:=range uint64(100){ s:=newStudy(t,seed); if s==nil{all["nil"]++;continue}
  who:=s.author.identities(4); q:=&decision.Question{}; d:=map[string]bool{}
  for range 100 { q=s.author.question(who,q); o,_:=s.evaluate(q,everything); d[o]=true; if len(o)>5 && o[:5]=="fault" { if len(o)>60{o=o[:60]}; all[o]++ } else {all["ok"]++}}
  distinct+=len(d)
  if seed<12 {i:=0; for k:=range d{ if i>3{break}; i++; fmt.Println(seed,k)}}
 }
 for k,v:=range all{fmt.Println(v,k)}
 fmt.Println(distinct)
}
