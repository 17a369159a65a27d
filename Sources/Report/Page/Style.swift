/// The one style sheet, of the report and of the page.
package enum Style {
  package static let sheet: StaticString = """
    :root{--paper:#fbfaf7;--card:#fff;--ink:#20242a;--soft:#646b75;--line:#e3e0d8;--rail:#efece4;--accent:#1f6f78;--second:#b9812c;\
    --alarm:#a63d2f;--good:#4b7f52;--h0:#f1eee7;--h1:#d9e7e4;--h2:#b4d3d1;--h3:#82b6b8;--h4:#4f9399;--h5:#2a6f78;--h6:#124a54;\
    --serif:"Iowan Old Style","Palatino Linotype",Palatino,"Source Serif 4",Georgia,serif;\
    --sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;\
    --mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
    @media (prefers-color-scheme:dark){:root{--paper:#15181c;--card:#1b1f24;--ink:#e4e2dc;--soft:#9aa1ab;--line:#2c3138;--rail:#242930;\
    --accent:#5fb3b8;--second:#d6a45a;--alarm:#e07a68;--good:#83b98a;--h0:#20252b;--h1:#21393e;--h2:#25525a;--h3:#2f717a;--h4:#46949c;\
    --h5:#74b9bd;--h6:#b9e2e1}}
    *{box-sizing:border-box}
    html{-webkit-text-size-adjust:100%}
    body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);font-variant-numeric:tabular-nums}
    main,header.top,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}
    header.top{padding-top:3.2rem;padding-bottom:.6rem}
    h1{font:600 2.3rem/1.15 var(--serif);margin:.1rem 0 .6rem;letter-spacing:-.01em}
    h2{font:600 1.45rem/1.25 var(--serif);margin:0 0 .5rem}
    h3{font:600 .8rem/1.3 var(--sans);color:var(--soft);margin:1.4rem 0 .55rem;text-transform:uppercase;letter-spacing:.06em}
    p{margin:0 0 .9rem;max-width:44rem}
    .lead{font:1.15rem/1.6 var(--serif);max-width:46rem}
    .span,.kicker{color:var(--soft);font-size:.9rem;margin:0}
    section{padding:2rem 0 1.6rem;border-top:1px solid var(--line);break-inside:avoid}
    section>p{color:var(--ink)}
    a{color:var(--accent);text-decoration:none}
    a:hover,a:focus{text-decoration:underline}
    :focus-visible{outline:2px solid var(--accent);outline-offset:2px}
    code{font:.92em var(--mono);overflow-wrap:anywhere}
    small{display:block;color:var(--soft);font-size:.82rem;line-height:1.35;font-weight:400}
    small:empty{display:none}
    .figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.75rem;margin:1.6rem 0 2.2rem}
    .figures div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .95rem}
    .figures b{display:block;font:600 1.6rem/1.2 var(--serif);white-space:nowrap}
    .figures span{display:block;color:var(--soft);font-size:.85rem;line-height:1.35}
    figure{margin:1rem 0 .4rem}
    svg{display:block}
    .chart{position:relative;padding-left:2.8rem}
    .chart .scale{position:absolute;left:0;top:0;height:11rem;width:2.5rem;display:flex;flex-direction:column;justify-content:space-between;\
    text-align:right;font-size:.75rem;color:var(--soft);line-height:1}
    .columns{width:100%;height:11rem;border-bottom:1px solid var(--line);overflow:visible}
    .chart.small .columns,.chart.small .scale{height:7rem}
    .columns .whole{fill:var(--accent)}
    .columns .part{fill:var(--accent);opacity:.38}
    .columns .hit{fill:transparent}
    .columns g:hover .hit{fill:var(--rail)}
    .dates{display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft);margin-top:.35rem}
    .chart.strip{padding-left:0}
    .strip svg,svg.strip{width:100%;height:1.1rem;border-radius:3px}
    .watched{fill:var(--good);background:var(--good)}
    .blind{fill:var(--second);background:var(--second)}
    .off{fill:var(--alarm);background:var(--alarm)}
    .key{font-size:.85rem;color:var(--soft);margin-top:.5rem}
    .key span{display:inline-block;width:.75rem;height:.75rem;border-radius:2px;margin:0 .35rem 0 .9rem;vertical-align:-.06rem}
    .key span:first-child{margin-left:0}
    .key .one{background:var(--accent)}
    .key .two{background:var(--second)}
    table{border-collapse:collapse;width:100%}
    caption.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
    .heatmap th{font-weight:400;text-align:left;white-space:nowrap;padding:0 .8rem 0 0;width:1%;font-size:.88rem;line-height:1.15}
    .heatmap th small{display:inline;margin-left:.45rem;font-size:.78rem}
    .heatmap td{padding:0}
    .heatmap .heat{width:100%;height:1.42rem;border-bottom:1.5px solid var(--paper)}
    .heatmap .clock td+td{display:flex;justify-content:space-between;font-size:.72rem;color:var(--soft);padding-top:.25rem}
    .heatmap figcaption{display:flex;flex-wrap:wrap;gap:.3rem .9rem;align-items:center;font-size:.78rem;color:var(--soft);margin-top:.7rem}
    .heatmap figcaption span{display:inline-flex;align-items:center;gap:.35rem}
    .heatmap figcaption svg{width:1rem;height:.8rem}
    .h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}.h5{fill:var(--h5)}.h6{fill:var(--h6)}
    .list th,.list td{padding:.42rem .7rem .42rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);font-weight:400}
    .list thead th{font-size:.78rem;color:var(--soft);border-bottom-color:var(--soft);padding-bottom:.25rem;vertical-align:bottom}
    .list tr:last-child td,.list tr:last-child th{border-bottom:0}
    .list tbody th{white-space:nowrap;font-weight:600}
    td.n,th.n{text-align:right;white-space:nowrap}
    td.n small{white-space:nowrap}
    .list td.n+td:not(.n),.list th.n+th:not(.n){padding-left:.9rem}
    .list td:last-child,.list th:last-child,.bars td:last-child{padding-right:0}
    .bars th,.bars td{padding:.32rem .7rem .32rem 0;vertical-align:middle;text-align:left;font-weight:400;font-size:.95rem}
    .bars th{width:1%;white-space:nowrap;min-width:7rem}
    .bars th small{white-space:normal;min-width:13rem}
    .bars td.n{width:1%;font-size:.9rem;text-align:right}
    td.wide{min-width:4rem}
    .list td.wide{width:22%;vertical-align:middle}
    svg.bar{width:100%;height:.62rem;border-radius:2px;overflow:hidden}
    svg.bar+svg.bar{margin-top:3px}
    svg.bar rect{fill:var(--accent)}
    svg.bar.second rect{fill:var(--second)}
    svg.bar rect.rail{fill:var(--rail)}
    svg.spark{width:7rem;height:1.4rem}
    svg.spark path{fill:var(--accent);opacity:.75}
    .pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 2.6rem}
    .three{display:grid;grid-template-columns:repeat(3,1fr);gap:0 2rem}
    footer{color:var(--soft);font-size:.85rem;padding-top:1.4rem;padding-bottom:3rem;border-top:1px solid var(--line);margin-top:1rem}
    @media (max-width:46rem){
    h1{font-size:1.75rem}header.top{padding-top:1.8rem}.lead{font-size:1.05rem}
    .pair,.three{grid-template-columns:minmax(0,1fr)}
    .late,.list td.wide,.list th.wide{display:none}
    .figures{grid-template-columns:1fr 1fr 1fr}.figures div{padding:.6rem .7rem}.figures b{font-size:1.3rem}.figures span{font-size:.78rem}
    .heatmap th small{display:none}.heatmap th{padding-right:.5rem}
    .list th,.list td{padding-right:.5rem}
    .bars th{white-space:normal;min-width:6rem}.bars th small{min-width:0}.bars th code{white-space:nowrap}
    .tall tr{display:grid;grid-template:"name value" auto "bar bar" auto / 1fr auto;padding:.35rem 0}
    .tall th{grid-area:name;width:auto;padding:0}.tall td.n{grid-area:value;width:auto;padding:0 0 0 .6rem}.tall td.wide{grid-area:bar;padding:.3rem 0 0}
    svg.spark{width:4.5rem}
    }
    @media print{
    :root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--rail:#eee;--accent:#1f6f78;--second:#b9812c;--alarm:#a63d2f;--good:#4b7f52;\
    --h0:#f4f4f4;--h1:#d9e7e4;--h2:#b4d3d1;--h3:#82b6b8;--h4:#4f9399;--h5:#2a6f78;--h6:#124a54}
    body{font-size:10pt}main,header.top,footer{max-width:none;padding:0}
    section{padding:1rem 0}svg rect,svg path{print-color-adjust:exact;-webkit-print-color-adjust:exact}
    a{color:inherit}
    }
    """
}
