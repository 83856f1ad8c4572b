import { use, init, getInstanceByDom, registerLocale } from 'echarts/core';
import { LineChart, BarChart } from 'echarts/charts';
import { GridComponent, TooltipComponent, MarkPointComponent, MarkLineComponent, MarkAreaComponent, DatasetComponent, AriaComponent, LegendComponent } from 'echarts/components';
import { SVGRenderer } from 'echarts/renderers';
use([LineChart, BarChart, GridComponent, TooltipComponent, MarkPointComponent, MarkLineComponent, MarkAreaComponent, DatasetComponent, AriaComponent, LegendComponent, SVGRenderer]);
export { init, getInstanceByDom, registerLocale };
